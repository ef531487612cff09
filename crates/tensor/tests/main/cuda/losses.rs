//! Losses of numbers, and of two laws.

use rectify_tensor::kernels;

use super::{Inputs, SHAPES, devices};

#[test]
fn losses_of_numbers() {
    for ops in devices() {
        for n in [1usize, 255, 256, 257, 5000] {
            let mut x = Inputs::fresh();
            let logits: Vec<f32> = x.normals(n).iter().map(|z| 20.0 * z).collect();
            let targets: Vec<f32> = x.places(n, 11).iter().map(|t| *t as f32 / 10.0).collect();
            let gpu = ops.gpu();
            let (z, t) = (gpu.upload(&logits).unwrap(), gpu.upload(&targets).unwrap());
            let (mut want, mut d) = (vec![0.0; n], gpu.zeros(n).unwrap());
            let loss = kernels::bce_with_logits(&logits, &targets, 0.5, &mut want);
            x.close_sum("cross-entropy", ops.bce_with_logits(&z, &t, 0.5, &mut d).unwrap(), loss);
            x.close("cross-entropy", &gpu.download(&d).unwrap(), &want);
            let loss = kernels::hinge(&logits, 1.0, 0.5, &mut want);
            x.close_sum("hinge", ops.hinge(&z, 1.0, 0.5, &mut d).unwrap(), loss);
            x.close("hinge", &gpu.download(&d).unwrap(), &want);

            // The same, of the margins `label · x`.
            let labels: Vec<f32> = x.places(n, 2).iter().map(|t| 2.0 * *t as f32 - 1.0).collect();
            let margins: Vec<f32> = logits.iter().zip(&labels).map(|(z, label)| z * label).collect();
            let loss = kernels::hinge(&margins, 1.0, 0.5, &mut want);
            want.iter_mut().zip(&labels).for_each(|(d, label)| *d *= label);
            let on_labels = gpu.upload(&labels).unwrap();
            x.close_sum("labels", ops.labelled_hinge(&z, &on_labels, 0.5, &mut d).unwrap(), loss);
            x.close("labels", &gpu.download(&d).unwrap(), &want);

            let gaps: Vec<f32> = logits.iter().zip(&targets).map(|(z, t)| z - t).collect();
            let loss = gaps.iter().map(|gap| f64::from(*gap).powi(2) / 2.0).sum();
            let want: Vec<f32> = gaps.iter().map(|gap| 0.5 * gap).collect();
            x.close_sum("squares", ops.half_squares(&z, &t, 0.5, &mut d).unwrap(), loss);
            x.close("squares", &gpu.download(&d).unwrap(), &want);
            let sum: f64 = logits.iter().map(|z| f64::from(*z)).sum();
            assert!((ops.sum(&z).unwrap() - sum).abs() < 1e-9 * n as f64, "seed {}", x.seed);
        }
    }
}

#[test]
fn cross_entropy_of_softmax_laws() {
    for ops in devices() {
        for (rows, width) in SHAPES {
            let mut x = Inputs::fresh();
            let (student, teacher) = (x.normals(rows * width), x.normals(rows * width));
            let mut want = vec![0.0; rows * width];
            let loss = kernels::softmax_cross_entropy(&student, &teacher, width, 0.7, &mut want);
            let gpu = ops.gpu();
            let (s, t) = (gpu.upload(&student).unwrap(), gpu.upload(&teacher).unwrap());
            let mut d = gpu.zeros(rows * width).unwrap();
            x.close_sum("loss", ops.softmax_cross_entropy(&s, &t, width, 0.7, &mut d).unwrap(), loss);
            x.close("gradient", &gpu.download(&d).unwrap(), &want);
        }
    }
}
