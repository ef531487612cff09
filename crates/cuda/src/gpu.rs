//! A device and what runs on it.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, result};

use crate::buffer::Storage;
use crate::compile::ptx;
#[cfg(feature = "emulator")]
use crate::emulator::Emulator;
use crate::{Architecture, Args, Buffer, Element, GpuError, Shape, Source};

/// A GPU: its memory, its compiled kernels, and one queue on which everything happens in the order it was asked for.
pub struct Gpu {
    backend: Backend,
    /// Kernels by source and name, each looked up once.
    kernels: Mutex<HashMap<(&'static str, &'static str), Kernel>>,
}

enum Backend {
    Device(Device),
    #[cfg(feature = "emulator")]
    Emulator(Emulator),
}

struct Device {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    architecture: Architecture,
    modules: Mutex<HashMap<&'static str, Arc<CudaModule>>>,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// Its compute capability.
    pub architecture: Architecture,
}

/// A compiled kernel, ready to launch.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) entry: Entry,
}

#[derive(Clone)]
pub(crate) enum Entry {
    Device(CudaFunction),
    #[cfg(feature = "emulator")]
    Emulator(crate::emulator::Entry),
}

impl Gpu {
    fn of(backend: Backend) -> Self {
        Self { backend, kernels: Mutex::default() }
    }

    /// Opens device number `ordinal`.
    ///
    /// # Errors
    /// [`GpuError::NoDriver`], [`GpuError::NoDevice`], [`GpuError::Driver`].
    pub fn open(ordinal: usize) -> Result<Self, GpuError> {
        // SAFETY: only looks whether the library can be loaded.
        #[expect(unsafe_code, reason = "the call asks the dynamic loader")]
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            return Err(GpuError::NoDriver);
        }
        result::init().map_err(GpuError::driver("starting the CUDA driver"))?;
        let found = CudaContext::device_count().map_err(GpuError::driver("counting devices"))?.max(0) as usize;
        if ordinal >= found {
            return Err(GpuError::NoDevice { ordinal, found });
        }
        let context = CudaContext::new(ordinal).map_err(GpuError::driver("opening the device"))?;
        let (major, minor) = context.compute_capability().map_err(GpuError::driver("asking for the capability"))?;
        let architecture = Architecture { major: major.max(0) as u32, minor: minor.max(0) as u32 };
        let stream = context.default_stream();
        let device = Device { context, stream, architecture, modules: Mutex::default() };
        Ok(Self::of(Backend::Device(device)))
    }

    /// The CPU in the place of a GPU: kernels are compiled as C++ and run one thread after the other. For tests.
    ///
    /// # Errors
    /// [`GpuError::Emulator`] if there is no C++ compiler.
    #[cfg(feature = "emulator")]
    pub fn emulated() -> Result<Self, GpuError> {
        Ok(Self::of(Backend::Emulator(Emulator::new()?)))
    }

    /// Name, memory and capability.
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn describe(&self) -> Result<Description, GpuError> {
        match &self.backend {
            Backend::Device(device) => Ok(Description {
                name: device.context.name().map_err(GpuError::driver("asking for the name"))?,
                memory_bytes: device.context.total_mem().map_err(GpuError::driver("asking for the memory"))? as u64,
                architecture: device.architecture,
            }),
            #[cfg(feature = "emulator")]
            Backend::Emulator(_) => Ok(Description {
                name: "CPU, emulating".into(),
                memory_bytes: 0,
                architecture: Architecture { major: 0, minor: 0 },
            }),
        }
    }

    /// A buffer of zeros.
    ///
    /// # Errors
    /// [`GpuError::Driver`], out of memory among them.
    pub fn zeros<T: Element>(&self, len: usize) -> Result<Buffer<T>, GpuError> {
        // The driver refuses empty allocations.
        let bytes = (len * size_of::<T>()).max(1);
        let storage = match &self.backend {
            Backend::Device(device) => {
                Storage::Device(device.stream.alloc_zeros(bytes).map_err(GpuError::driver("allocating"))?)
            }
            #[cfg(feature = "emulator")]
            Backend::Emulator(_) => Storage::Host(vec![0; bytes.div_ceil(8)]),
        };
        Ok(Buffer { storage, len, of: PhantomData })
    }

    /// A buffer with these values.
    ///
    /// # Errors
    /// [`GpuError::Driver`], out of memory among them.
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<Buffer<T>, GpuError> {
        let mut buffer = self.zeros(values.len())?;
        self.upload_into(values, &mut buffer)?;
        Ok(buffer)
    }

    /// Replaces the values of a buffer.
    ///
    /// # Errors
    /// [`GpuError::Length`], [`GpuError::Driver`].
    pub fn upload_into<T: Element>(&self, values: &[T], buffer: &mut Buffer<T>) -> Result<(), GpuError> {
        if values.len() != buffer.len {
            return Err(GpuError::Length { expected: buffer.len, got: values.len() });
        }
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if bytes.is_empty() {
            return Ok(());
        }
        match (&self.backend, &mut buffer.storage) {
            (Backend::Device(device), Storage::Device(slice)) => {
                device.stream.memcpy_htod(bytes, slice).map_err(GpuError::driver("copying to the device"))
            }
            #[cfg(feature = "emulator")]
            (_, Storage::Host(words)) => {
                bytemuck::cast_slice_mut(words)[..bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            #[cfg(feature = "emulator")]
            (Backend::Emulator(_), Storage::Device(_)) => Err(GpuError::Foreign),
        }
    }

    /// The values of a buffer.
    ///
    /// # Errors
    /// [`GpuError::Driver`].
    pub fn download<T: Element>(&self, buffer: &Buffer<T>) -> Result<Vec<T>, GpuError> {
        let mut values = vec![T::zeroed(); buffer.len];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        if bytes.is_empty() {
            return Ok(values);
        }
        match (&self.backend, &buffer.storage) {
            (Backend::Device(device), Storage::Device(slice)) => {
                let copied = device.stream.memcpy_dtoh(slice, bytes);
                copied.map_err(GpuError::driver("copying from the device"))?;
                device.stream.synchronize().map_err(GpuError::driver("waiting for the device"))?;
            }
            #[cfg(feature = "emulator")]
            (_, Storage::Host(words)) => bytes.copy_from_slice(&bytemuck::cast_slice(words)[..bytes.len()]),
            #[cfg(feature = "emulator")]
            (Backend::Emulator(_), Storage::Device(_)) => return Err(GpuError::Foreign),
        }
        Ok(values)
    }

    /// A kernel of a source, which is compiled when its first kernel is asked for.
    ///
    /// # Errors
    /// [`GpuError::NoCompiler`], [`GpuError::Ptx`], [`GpuError::Compile`], [`GpuError::Driver`] (no kernel of that name).
    pub fn kernel(&self, source: &'static Source, name: &'static str) -> Result<Kernel, GpuError> {
        match &self.backend {
            Backend::Device(device) => {
                let module = device.module(source)?;
                let function = module.load_function(name).map_err(GpuError::driver("looking up a kernel"))?;
                Ok(Kernel { name, entry: Entry::Device(function) })
            }
            #[cfg(feature = "emulator")]
            Backend::Emulator(emulator) => Ok(Kernel { name, entry: Entry::Emulator(emulator.entry(source, name)?) }),
        }
    }

    /// Queues a kernel.
    ///
    /// # Safety
    /// `args` are the kernel's parameters by number and type, and with them no thread of `shape` leaves its buffers.
    ///
    /// # Errors
    /// [`GpuError::Driver`]; a kernel that fails on the device may be reported by a later call.
    #[expect(unsafe_code, reason = "what a kernel does with its arguments is beyond the compiler")]
    pub unsafe fn launch(&self, kernel: &Kernel, shape: Shape, mut args: Args<'_>) -> Result<(), GpuError> {
        let mut pointers = args.pointers();
        match (&self.backend, &kernel.entry) {
            (Backend::Device(device), Entry::Device(function)) => {
                device.context.bind_to_thread().map_err(GpuError::driver("binding the device"))?;
                let [x, y] = shape.blocks;
                // SAFETY: the caller's promise; the pointers lead to values that live until the call returns.
                unsafe {
                    result::launch_kernel(
                        function.cu_function(),
                        (x, y, 1),
                        (shape.threads, 1, 1),
                        0,
                        device.stream.cu_stream(),
                        &mut pointers,
                    )
                }
                .map_err(GpuError::driver(kernel.name))
            }
            #[cfg(feature = "emulator")]
            (_, Entry::Emulator(entry)) => {
                // SAFETY: the caller's promise.
                unsafe { entry.run(shape, &mut pointers) };
                Ok(())
            }
            #[cfg(feature = "emulator")]
            (Backend::Emulator(_), Entry::Device(_)) => Err(GpuError::Foreign),
        }
    }

    /// Queues a kernel by its name; it is compiled and looked up the first time.
    ///
    /// # Safety
    /// As [`launch`](Self::launch).
    ///
    /// # Errors
    /// As [`kernel`](Self::kernel) and [`launch`](Self::launch).
    #[expect(unsafe_code, reason = "what a kernel does with its arguments is beyond the compiler")]
    pub unsafe fn run(
        &self,
        source: &'static Source,
        name: &'static str,
        shape: Shape,
        args: Args<'_>,
    ) -> Result<(), GpuError> {
        let key = (source.name, name);
        let known = self.kernels.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let kernel = match known {
            Some(kernel) => kernel,
            None => {
                let kernel = self.kernel(source, name)?;
                self.kernels.lock().unwrap_or_else(PoisonError::into_inner).insert(key, kernel.clone());
                kernel
            }
        };
        // SAFETY: the caller's promise.
        unsafe { self.launch(&kernel, shape, args) }
    }

    /// Waits until everything queued is done.
    ///
    /// # Errors
    /// [`GpuError::Driver`], failed kernels among them.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        match &self.backend {
            Backend::Device(device) => device.stream.synchronize().map_err(GpuError::driver("waiting for the device")),
            #[cfg(feature = "emulator")]
            Backend::Emulator(_) => Ok(()),
        }
    }
}

impl Device {
    fn module(&self, source: &'static Source) -> Result<Arc<CudaModule>, GpuError> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(source.name) {
            return Ok(Arc::clone(module));
        }
        let text = ptx(source, self.architecture)?;
        let module = self.context.load_module(text.into()).map_err(GpuError::driver("loading kernels"))?;
        modules.insert(source.name, Arc::clone(&module));
        Ok(module)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backend {
            Backend::Device(device) => write!(f, "Gpu(cuda:{})", device.context.ordinal()),
            #[cfg(feature = "emulator")]
            Backend::Emulator(_) => write!(f, "Gpu(emulated)"),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}
