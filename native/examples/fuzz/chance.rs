//! Chance that begins anew for every input, so that one can be had again without those before it.

/// xoshiro256** (Blackman and Vigna 2018).
pub struct Chance([u64; 4]);

impl Chance {
    /// That of one input of a run: what stands in the generator is drawn by splitmix64 from both numbers.
    pub fn of(seed: u64, number: u64) -> Chance {
        let mut state = mixed(seed).wrapping_add(number);
        Chance(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            mixed(state)
        }))
    }

    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        drawn
    }

    /// 0 ≤ … < n
    pub fn below(&mut self, n: usize) -> usize {
        (u128::from(self.bits()) * n as u128 >> 64) as usize
    }

    /// low ≤ … ≤ high
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

/// Every bit of a number spread over all of its bits (the finaliser of splitmix64).
pub fn mixed(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}
