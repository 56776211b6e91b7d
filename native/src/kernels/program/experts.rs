//! A mixture of experts, of which a row asks a few: who is asked, and what they say together. `linnet/ops/route.py` has the formula.
//!
//! What an expert does are works like any others, which are passed over where nobody asks (`only_if` of an instruction).

use super::super::scratch::Scratch;
use super::super::simd::{load_n, store_n, Isa};

/// weights (n_experts, rows): how much each expert counts in each row, 0 where it is not asked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Route {
    pub n_experts: i64,
    pub top_k: i64,
    pub n_groups: i64,
    pub top_groups: i64,
    pub sigmoid: i32,
    pub normalise: i32,
    pub scale: f32,
    pub logits: *const f32,
    pub bias: *const f32,
    pub weights: *mut f32,
}

/// y (rows, d) = the sum of what experts said (rows, d), each times its weight in that row; those that count nothing are not read.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Mix {
    pub n_experts: i64,
    pub d: i64,
    pub weights: *const f32,
    pub said: *const *const f32,
    pub y: *mut f32,
}

impl Route {
    pub(super) fn is_sound(&self) -> bool {
        let groups = self.n_groups > 0 && self.n_experts % self.n_groups == 0 && (1..=self.n_groups).contains(&self.top_groups);
        let most = if groups { self.top_groups * (self.n_experts / self.n_groups) } else { 0 };
        groups && (1..=most).contains(&self.top_k) && !self.logits.is_null() && !self.weights.is_null()
    }

    pub(super) unsafe fn piece(&self, rows: usize, r: usize) {
        let (n, groups) = (self.n_experts as usize, self.n_groups as usize);
        let mut scratch = Scratch::take(2 * n + groups);
        let mut parts = scratch.parts();
        let mut room = |n: usize| std::slice::from_raw_parts_mut(parts.part(n), n);
        let (scores, choice, worth) = (room(n), room(n), room(groups));
        scores.copy_from_slice(std::slice::from_raw_parts(self.logits.add(r * n), n));
        self.score(scores);
        let weight = |e: usize| self.weights.add(e * rows + r);
        (0..n).for_each(|e| *weight(e) = 0.0);
        if scores.iter().any(|x| x.is_nan()) {
            *weight(0) = f32::NAN; // what is no number stays none
            return;
        }
        choice.copy_from_slice(scores);
        if !self.bias.is_null() {
            choice.iter_mut().enumerate().for_each(|(e, number)| *number += *self.bias.add(e));
        }
        if groups > 1 {
            keep_best_groups(choice, worth, self.top_groups as usize);
        }
        let mut sum = 0.0;
        for _ in 0..self.top_k {
            let e = take_largest(choice);
            *weight(e) = scores[e];
            sum += scores[e];
        }
        let factor = if self.normalise != 0 { self.scale / (sum + 1e-20) } else { self.scale };
        (0..n).for_each(|e| *weight(e) *= factor);
    }

    /// Logits → scores, in place.
    fn score(&self, scores: &mut [f32]) {
        if self.sigmoid != 0 {
            scores.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
            return;
        }
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scores.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: f32 = scores.iter().sum();
        scores.iter_mut().for_each(|x| *x /= sum);
    }
}

/// Minus infinity for all experts but those of the best groups. A group is as good as its two best experts together.
fn keep_best_groups(choice: &mut [f32], worth: &mut [f32], n_best: usize) {
    let size = choice.len() / worth.len();
    for (group, worth) in choice.chunks(size).zip(worth.iter_mut()) {
        let (mut best, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for &x in group {
            second = second.max(best.min(x));
            best = best.max(x);
        }
        *worth = if size > 1 { best + second } else { best };
    }
    (0..n_best).for_each(|_| _ = take_largest(worth));
    for (group, worth) in choice.chunks_mut(size).zip(worth.iter()) {
        if !worth.is_nan() {
            group.fill(f32::NEG_INFINITY);
        }
    }
}

/// The place of the largest number, the first of several alike, which is then none any more: it is not taken again.
fn take_largest(numbers: &mut [f32]) -> usize {
    let mut found = None;
    for (i, &x) in numbers.iter().enumerate() {
        if !x.is_nan() && found.is_none_or(|best: usize| x > numbers[best]) {
            found = Some(i);
        }
    }
    let found = found.unwrap_or(0);
    numbers[found] = f32::NAN;
    found
}

impl Mix {
    pub(super) unsafe fn is_sound(&self) -> bool {
        let sizes = self.n_experts > 0 && self.d > 0;
        let pointers = !self.weights.is_null() && !self.said.is_null() && !self.y.is_null();
        sizes && pointers && (0..self.n_experts as usize).all(|e| !(*self.said.add(e)).is_null())
    }

    #[inline(always)]
    pub(super) unsafe fn piece<M: Isa>(&self, rows: usize, r: usize) {
        let d = self.d as usize;
        for i in (0..d).step_by(M::LANES) {
            let (at, lanes) = (r * d + i, M::LANES.min(d - i));
            let mut sum = M::splat(0.0);
            for e in 0..self.n_experts as usize {
                let weight = *self.weights.add(e * rows + r);
                if weight != 0.0 {
                    sum = M::fma(M::splat(weight), load_n::<M>((*self.said.add(e)).add(at), lanes), sum);
                }
            }
            store_n::<M>(self.y.add(at), sum, lanes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_taken_once() {
        let mut numbers = [1.0, 3.0, 3.0, f32::NEG_INFINITY];
        let found: Vec<_> = (0..4).map(|_| take_largest(&mut numbers)).collect();
        assert_eq!(found, [1, 2, 0, 3]);
        assert_eq!(take_largest(&mut numbers), 0); // nothing is left, and nothing is read beyond
    }

    #[test]
    fn groups_count_by_their_two_best() {
        let mut choice = [0.9, 0.0, 0.5, 0.6, 0.8, 0.2];
        keep_best_groups(&mut choice, &mut [0.0; 3], 1);
        assert_eq!(choice[2..4], [0.5, 0.6]);
        assert!(choice.iter().enumerate().all(|(i, x)| x.is_finite() == (2..4).contains(&i)));
    }
}
