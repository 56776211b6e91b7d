//! BLAKE2b with a digest of 16 bytes, word by word as RFC 7693 has it.

const START: [u64; 8] = [
    0x6a09e667f3bcc908,
    0xbb67ae8584caa73b,
    0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1,
    0x510e527fade682d1,
    0x9b05688c2b3e6c1f,
    0x1f83d9abfb41bd6b,
    0x5be0cd19137e2179,
];

/// The order of a block's words in each round, the first in the lowest four bits.
const ORDER: [u64; 10] = [
    0xfedcba9876543210,
    0x357b20c16df984ae,
    0x491763eadf250c8b,
    0x8f04a562ebcd1397,
    0xd386cb1efa427509,
    0x91ef57d438b0a6c2,
    0xb8293670a4def15c,
    0xa2684f05931ce7bd,
    0x5a417d2c803b9ef6,
    0x0dc3e9bf5167482a,
];

/// The places in the state that each of the eight steps of a round mixes.
const MIXED: [[usize; 4]; 8] =
    [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];

pub fn fingerprint(text: &[u8]) -> [u8; 16] {
    let mut state = START;
    state[0] ^= 0x0101_0000 ^ 16;
    let n_blocks = text.len().div_ceil(128).max(1);
    for number in 0..n_blocks {
        let read = text.len().min(128 * (number + 1));
        let mut block = [0; 128];
        block[..read - 128 * number].copy_from_slice(&text[128 * number..read]);
        compress(&mut state, &block, read as u64, number + 1 == n_blocks);
    }
    (u128::from(state[0]) | u128::from(state[1]) << 64).to_le_bytes()
}

fn compress(state: &mut [u64; 8], block: &[u8; 128], read: u64, last: bool) {
    let words: [u64; 16] = std::array::from_fn(|i| u64::from_le_bytes(block[8 * i..8 * i + 8].try_into().expect("eight bytes")));
    let mut v: [u64; 16] = std::array::from_fn(|i| if i < 8 { state[i] } else { START[i - 8] });
    v[12] ^= read;
    v[14] ^= if last { u64::MAX } else { 0 };
    for round in 0..12 {
        for (step, [a, b, c, d]) in MIXED.into_iter().enumerate() {
            let word = |i: usize| words[(ORDER[round % 10] >> (4 * i) & 15) as usize];
            v[a] = v[a].wrapping_add(v[b]).wrapping_add(word(2 * step));
            v[d] = (v[d] ^ v[a]).rotate_right(32);
            v[c] = v[c].wrapping_add(v[d]);
            v[b] = (v[b] ^ v[c]).rotate_right(24);
            v[a] = v[a].wrapping_add(v[b]).wrapping_add(word(2 * step + 1));
            v[d] = (v[d] ^ v[a]).rotate_right(16);
            v[c] = v[c].wrapping_add(v[d]);
            v[b] = (v[b] ^ v[c]).rotate_right(63);
        }
    }
    for i in 0..8 {
        state[i] ^= v[i] ^ v[i + 8];
    }
}
