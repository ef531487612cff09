//! Inner products of users with lists of items, and back.

use super::bpr::row;
use super::vector::{AHEAD, axpy_body, dot_body};
use super::{check_matrix, kernel, prefetch};

#[inline(always)]
fn list_dots_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    dim: usize,
    places: &[u32],
    slots: &[u32],
    out: &mut [f32],
) {
    let Some(len) = list_len(places, slots, out.len()) else { return };
    for (list, (place, out)) in places.iter().zip(out.chunks_exact_mut(len)).enumerate() {
        let user = row(users, dim, *place);
        for (j, out) in out.iter_mut().enumerate() {
            let at = list * len + j;
            if let Some(next) = slots.get(at + AHEAD) {
                prefetch(items, *next as usize * dim, dim);
            }
            *out = dot_body::<FMA>(user, row(items, dim, slots[at]));
        }
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
fn list_dots_backward_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    dim: usize,
    places: &[u32],
    slots: &[u32],
    grads: &[f32],
    d_users: &mut [f32],
    d_items: &mut [f32],
) {
    let Some(len) = list_len(places, slots, grads.len()) else { return };
    check_matrix("user gradients", d_users, users.len() / dim, dim);
    check_matrix("item gradients", d_items, items.len() / dim, dim);
    for (list, (place, grads)) in places.iter().zip(grads.chunks_exact(len)).enumerate() {
        let start = *place as usize * dim;
        let (user, d_user) = (row(users, dim, *place), &mut d_users[start..start + dim]);
        for (j, g) in grads.iter().enumerate() {
            // Items that a loss only looked at.
            if *g == 0.0 {
                continue;
            }
            let at = list * len + j;
            if let Some(next) = slots.get(at + AHEAD) {
                prefetch(d_items, *next as usize * dim, dim);
            }
            let start = slots[at] as usize * dim;
            axpy_body::<FMA>(*g, row(items, dim, slots[at]), d_user);
            axpy_body::<FMA>(*g, user, &mut d_items[start..start + dim]);
        }
    }
}

/// Items of a list; `None` if there are none.
#[inline(always)]
fn list_len(places: &[u32], slots: &[u32], n: usize) -> Option<usize> {
    assert_eq!(slots.len(), n, "each item of a list needs a slot and a score");
    let len = slots.len().checked_div(places.len())?;
    assert_eq!(len * places.len(), slots.len(), "lists must have one length");
    (len > 0).then_some(len)
}

kernel! {
    /// Scores of lists: `out[l, j] ← users[places[l]] · items[slots[l, j]]`.
    ///
    /// **Shapes**: users (n, dim), items (m, dim), places (lists), slots and out (lists, len).
    ///
    /// # Panics
    /// If sizes disagree, or a place or slot is out of range.
    pub fn list_dots / list_dots_at(
        users: &[f32],
        items: &[f32],
        dim: usize,
        places: &[u32],
        slots: &[u32],
        out: &mut [f32],
    ) = list_dots_body
}
kernel! {
    /// Backward of [`list_dots`]: **adds** to `d_users` (n, dim) and `d_items` (m, dim), in order of the lists; scores without
    /// gradient cost nothing.
    ///
    /// # Panics
    /// If sizes disagree, or a place or slot is out of range.
    pub fn list_dots_backward / list_dots_backward_at(
        users: &[f32],
        items: &[f32],
        dim: usize,
        places: &[u32],
        slots: &[u32],
        grads: &[f32],
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) = list_dots_backward_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{assert_close, normals};
    use super::*;

    #[test]
    fn lists_equal_the_plain_loops_at_every_level_and_width() {
        let (places, slots) = ([0u32, 2], [3u32, 0, 4, 4, 1, 3]);
        for dim in [1, 16, 20, 64, 67] {
            let (users, items, grads) = (normals("users", 3 * dim), normals("items", 5 * dim), normals("grads", 6));
            let (mut want, mut d_u, mut d_i) = (vec![0.0f32; 6], vec![0.0f32; 3 * dim], vec![0.0f32; 5 * dim]);
            for at in 0..6 {
                let (u, i) = (places[at / 3] as usize * dim, slots[at] as usize * dim);
                for k in 0..dim {
                    want[at] += users[u + k] * items[i + k];
                    d_u[u + k] += grads[at] * items[i + k];
                    d_i[i + k] += grads[at] * users[u + k];
                }
            }
            for level in Level::available() {
                let mut out = vec![0.0; 6];
                list_dots_at(level, &users, &items, dim, &places, &slots, &mut out);
                assert_close(&out, &want, 1e-5);
                let (mut users_grad, mut items_grad) = (vec![0.0; 3 * dim], vec![0.0; 5 * dim]);
                list_dots_backward_at(
                    level,
                    &users,
                    &items,
                    dim,
                    &places,
                    &slots,
                    &grads,
                    &mut users_grad,
                    &mut items_grad,
                );
                assert_close(&users_grad, &d_u, 1e-5);
                assert_close(&items_grad, &d_i, 1e-5);
            }
        }
        list_dots(&[], &[], 4, &[], &[], &mut []);
    }
}
