//! From ids to what stands on disk: an end token behind every document, the bytes that its ids stand for, and each text on
//! its side. `linnet/data/close.py` does the same in Python.

/// Added to the side of a text whose document does not end with it.
const DIVIDED: u8 = 4;

/// In a table of bytes, which stays in a near cache, for whatever the large one has to be asked: a special token, or one of many bytes.
const LONG: u8 = u8::MAX;

/// Ids as they stand on disk, the lowest byte of each first: bytes, because nobody says that they lie where numbers may.
pub type Side<'a, const WIDTH: usize> = &'a mut [[u8; WIDTH]];

fn on_disk<const WIDTH: usize>(id: u32) -> [u8; WIDTH] {
    *id.to_le_bytes().first_chunk().expect("an id has four bytes")
}

/// What is known of a vocabulary.
pub struct Vocabulary<'a> {
    pub bytes: &'a [u32], // that each id stands for; with the highest bit for special tokens
    pub end_id: u32,
}

/// What is found out about each text.
pub struct Found<'a> {
    pub bytes: &'a mut [u64],
    pub special: &'a mut [u64],
}

/// Texts' ids to the sides (1 and 2) that they belong to: how many there are on each. None where an id or
/// the end token is not in the vocabulary, or the vocabulary has more ids than WIDTH bytes can say. Each side has room for all ids
/// and an end token a text.
pub fn close<const WIDTH: usize>(
    texts: &[&[u32]],
    which: &[u8],
    vocabulary: &Vocabulary,
    sides: &mut [Side<WIDTH>; 2],
    found: &mut Found,
) -> Option<[usize; 2]> {
    let n_ids = vocabulary.bytes.len() as u64;
    if u64::from(vocabulary.end_id) >= n_ids || n_ids > 1 << (8 * WIDTH) {
        return None;
    }
    let short: Vec<u8> = vocabulary.bytes.iter().map(|&said| said.min(LONG as u32) as u8).collect();
    let mut done = [0, 0];
    for (number, ids) in texts.iter().enumerate() {
        let side = (which[number] & 3) as usize - 1;
        let room = &mut sides[side][done[side]..];
        let (mut bytes, mut special) = (0, 0);
        for (place, &id) in room.iter_mut().zip(*ids) {
            let mut said = *short.get(id as usize)? as u32;
            if said == LONG as u32 {
                said = vocabulary.bytes[id as usize];
            }
            bytes += (said & 0x7fff_ffff) as u64;
            special += (said >> 31) as u64;
            *place = on_disk(id);
        }
        found.bytes[number] = bytes;
        found.special[number] = special;
        done[side] += ids.len();
        if which[number] < DIVIDED {
            sides[side][done[side]] = on_disk(vocabulary.end_id);
            done[side] += 1;
        }
    }
    Some(done)
}
