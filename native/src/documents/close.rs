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

/// Takes the ids of one text after the other to the sides (1 and 2) that they belong to. Each side has room for all ids and an end
/// token a text.
pub struct Closing<'a, const WIDTH: usize> {
    vocabulary: Vocabulary<'a>,
    short: Vec<u8>, // LONG, or the bytes that each id stands for
    which: &'a [u8],
    sides: [Side<'a, WIDTH>; 2],
    found: Found<'a>,
    done: [usize; 2],
    number: usize, // of the next text
}

impl<'a, const WIDTH: usize> Closing<'a, WIDTH> {
    /// None where the end token is not in the vocabulary, or the vocabulary has more ids than WIDTH bytes can say.
    pub fn new(vocabulary: Vocabulary<'a>, which: &'a [u8], sides: [Side<'a, WIDTH>; 2], found: Found<'a>) -> Option<Self> {
        let n_ids = vocabulary.bytes.len() as u64;
        if u64::from(vocabulary.end_id) >= n_ids || n_ids > 1 << (8 * WIDTH) {
            return None;
        }
        let short = vocabulary.bytes.iter().map(|&said| said.min(LONG as u32) as u8).collect();
        Some(Closing { vocabulary, short, which, sides, found, done: [0, 0], number: 0 })
    }

    /// The next text's ids. None where one is not in the vocabulary.
    pub fn add(&mut self, ids: &[u32]) -> Option<()> {
        let which = self.which[self.number];
        let side = (which & 3) as usize - 1;
        let (room, done) = (&mut self.sides[side], &mut self.done[side]);
        let (mut bytes, mut special) = (0, 0);
        for (place, &id) in room[*done..*done + ids.len()].iter_mut().zip(ids) {
            let mut said = *self.short.get(id as usize)? as u32;
            if said == LONG as u32 {
                said = self.vocabulary.bytes[id as usize];
            }
            bytes += (said & 0x7fff_ffff) as u64;
            special += (said >> 31) as u64;
            *place = on_disk(id);
        }
        self.found.bytes[self.number] = bytes;
        self.found.special[self.number] = special;
        *done += ids.len();
        if which < DIVIDED {
            room[*done] = on_disk(self.vocabulary.end_id);
            *done += 1;
        }
        self.number += 1;
        Some(())
    }

    /// How many ids are on each side.
    pub fn counts(&self) -> [u64; 2] {
        self.done.map(|count| count as u64)
    }
}
