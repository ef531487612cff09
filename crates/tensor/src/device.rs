//! Where tensors live.

use std::fmt;
use std::str::FromStr;

/// A place to compute, as named in settings and on the command line: `cpu`, `cuda`, `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU.
    #[default]
    Cpu,
    /// A CUDA device, by its number.
    Cuda(usize),
}

/// A device that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that is no device.
    #[error("unknown device {got:?}, expected cpu, cuda or cuda:NUMBER")]
    Unknown {
        /// The name.
        got: String,
    },
    /// A device that the graph cannot compute on.
    #[error("device {device} was asked for, but the graph computes on the CPU alone; use device cpu, or tensor::cuda")]
    NotBuilt {
        /// The device.
        device: Device,
    },
}

impl Device {
    /// Checks that the graph can compute there; nothing ever falls back to another device.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] for CUDA.
    pub const fn check(self) -> Result<(), DeviceError> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda(_) => Err(DeviceError::NotBuilt { device: self }),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { got: text.to_owned() };
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) if number.bytes().all(|b| b.is_ascii_digit()) => {
                number.parse().map(Self::Cuda).map_err(|_| unknown())
            }
            None | Some(_) => Err(unknown()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_back() {
        for (text, device) in [("cpu", Device::Cpu), ("cuda", Device::Cuda(0)), ("cuda:3", Device::Cuda(3))] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in ["", "gpu", "cuda:", "cuda:+1", "cuda:x", "cpu:0", "CPU"] {
            assert_eq!(text.parse::<Device>(), Err(DeviceError::Unknown { got: text.into() }));
        }
    }

    #[test]
    fn a_graph_on_cuda_is_an_error_and_never_the_processor() {
        assert_eq!(Device::Cpu.check(), Ok(()));
        let error = Device::Cuda(1).check().unwrap_err().to_string();
        assert!(error.starts_with("device cuda:1 was asked for, but the graph computes on the CPU alone"), "{error}");
    }
}
