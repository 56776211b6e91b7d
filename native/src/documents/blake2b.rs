//! BLAKE2b with a digest of 16 bytes and no key (RFC 7693), as `hashlib.blake2b(text, digest_size=16)` has it.

#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::{self, Kind};

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

/// The order in which a round takes the words of a block; rounds 10 and 11 are 0 and 1 again.
const ORDER: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

const DIGEST: usize = 16;

/// The 16 bytes that stand for each of some texts. Texts are hashed side by side, one a lane of a vector: whichever lane
/// comes to the end of its text takes the next one.
pub fn fingerprints(texts: &[&[u8]], out: &mut [[u8; DIGEST]]) {
    #[cfg(target_arch = "x86_64")]
    match simd::kind() {
        Kind::Avx512 => return unsafe { in_eight(texts, out) },
        Kind::Avx2 => return unsafe { in_four(texts, out) },
        Kind::Portable => {}
    }
    side_by_side::<1>(texts, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn in_eight(texts: &[&[u8]], out: &mut [[u8; DIGEST]]) {
    side_by_side::<8>(texts, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn in_four(texts: &[&[u8]], out: &mut [[u8; DIGEST]]) {
    side_by_side::<4>(texts, out);
}

/// What one lane is at: its text, by number, and the bytes of it that were read. None: there are no more.
type Lane = Option<(usize, usize)>;

#[inline(always)]
fn side_by_side<const LANES: usize>(texts: &[&[u8]], out: &mut [[u8; DIGEST]]) {
    let mut waiting = 0..texts.len();
    let mut lanes: [Lane; LANES] = std::array::from_fn(|_| waiting.next().map(|text| (text, 0)));
    let mut h = [[0; LANES]; 8];
    for lane in 0..LANES {
        begin(&mut h, lane);
    }
    while lanes.iter().any(Option::is_some) {
        let (mut m, mut read, mut last) = ([[0; LANES]; 16], [0; LANES], [0; LANES]);
        for (lane, at) in lanes.iter_mut().enumerate() {
            let Some((number, done)) = at else { continue };
            let rest = &texts[*number][*done..];
            let taken = rest.len().min(128);
            let mut padded = [0; 128];
            let block: &[u8; 128] = match rest.first_chunk() {
                Some(whole) => whole,
                None => {
                    padded[..taken].copy_from_slice(rest);
                    &padded
                }
            };
            for (word, bytes) in m.iter_mut().zip(block.chunks_exact(8)) {
                word[lane] = u64::from_le_bytes(bytes.try_into().unwrap());
            }
            *done += taken;
            read[lane] = *done as u64;
            last[lane] = if taken == rest.len() { u64::MAX } else { 0 }; // only an empty text has an empty last block
        }
        compress(&mut h, &m, &read, &last);
        for lane in 0..LANES {
            let Some((number, _)) = lanes[lane] else { continue };
            if last[lane] != 0 {
                out[number][..8].copy_from_slice(&h[0][lane].to_le_bytes());
                out[number][8..].copy_from_slice(&h[1][lane].to_le_bytes());
                lanes[lane] = waiting.next().map(|text| (text, 0));
                begin(&mut h, lane);
            }
        }
    }
}

/// The state before the first block.
fn begin<const LANES: usize>(h: &mut [[u64; LANES]; 8], lane: usize) {
    for (word, start) in h.iter_mut().zip(START) {
        word[lane] = start;
    }
    h[0][lane] ^= 0x0101_0000 ^ DIGEST as u64;
}

/// Function F in every lane: mix a block into the state. read: bytes that have been read with it; last: all bits for the last.
#[inline(always)]
fn compress<const LANES: usize>(h: &mut [[u64; LANES]; 8], m: &[[u64; LANES]; 16], read: &[u64; LANES], last: &[u64; LANES]) {
    let mut v = [[0; LANES]; 16];
    v[..8].copy_from_slice(h);
    for (word, start) in v[8..].iter_mut().zip(START) {
        *word = [start; LANES];
    }
    for lane in 0..LANES {
        v[12][lane] ^= read[lane];
        v[14][lane] ^= last[lane];
    }
    macro_rules! rounds {
        ($($r:expr),+) => { $(
            mix(&mut v, 0, 4, 8, 12, &m[ORDER[$r][0]], &m[ORDER[$r][1]]);
            mix(&mut v, 1, 5, 9, 13, &m[ORDER[$r][2]], &m[ORDER[$r][3]]);
            mix(&mut v, 2, 6, 10, 14, &m[ORDER[$r][4]], &m[ORDER[$r][5]]);
            mix(&mut v, 3, 7, 11, 15, &m[ORDER[$r][6]], &m[ORDER[$r][7]]);
            mix(&mut v, 0, 5, 10, 15, &m[ORDER[$r][8]], &m[ORDER[$r][9]]);
            mix(&mut v, 1, 6, 11, 12, &m[ORDER[$r][10]], &m[ORDER[$r][11]]);
            mix(&mut v, 2, 7, 8, 13, &m[ORDER[$r][12]], &m[ORDER[$r][13]]);
            mix(&mut v, 3, 4, 9, 14, &m[ORDER[$r][14]], &m[ORDER[$r][15]]);
        )+ };
    }
    rounds!(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1); // written out, so that the order is known where it is compiled
    for (i, word) in h.iter_mut().enumerate() {
        for lane in 0..LANES {
            word[lane] ^= v[i][lane] ^ v[i + 8][lane];
        }
    }
}

/// Function G.
#[inline(always)]
fn mix<const LANES: usize>(
    v: &mut [[u64; LANES]; 16],
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    x: &[u64; LANES],
    y: &[u64; LANES],
) {
    for i in 0..LANES {
        v[a][i] = v[a][i].wrapping_add(v[b][i]).wrapping_add(x[i]);
        v[d][i] = (v[d][i] ^ v[a][i]).rotate_right(32);
        v[c][i] = v[c][i].wrapping_add(v[d][i]);
        v[b][i] = (v[b][i] ^ v[c][i]).rotate_right(24);
        v[a][i] = v[a][i].wrapping_add(v[b][i]).wrapping_add(y[i]);
        v[d][i] = (v[d][i] ^ v[a][i]).rotate_right(16);
        v[c][i] = v[c][i].wrapping_add(v[d][i]);
        v[b][i] = (v[b][i] ^ v[c][i]).rotate_right(63);
    }
}
