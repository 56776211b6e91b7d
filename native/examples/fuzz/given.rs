//! What is given to the library: texts in memory of exactly their size, and room that is watched on both sides.

/// Texts, one after the other, and where each ends; each array in an allocation of its own that has not a byte more.
pub struct Texts {
    pub joined: Box<[u8]>,
    pub ends: Box<[u64]>,
}

impl Texts {
    pub fn of<T: AsRef<[u8]>>(texts: &[T]) -> Texts {
        let mut end = 0;
        let ends = texts.iter().map(|text| {
            end += text.as_ref().len() as u64;
            end
        });
        let ends = ends.collect();
        let mut joined = Vec::with_capacity(end as usize);
        texts.iter().for_each(|text| joined.extend_from_slice(text.as_ref()));
        Texts { joined: joined.into(), ends }
    }

    pub fn n(&self) -> u64 {
        self.ends.len() as u64
    }
}

/// The parts of `all` that end at `ends`.
pub fn parts<'a, T>(all: &'a [T], ends: &'a [u64]) -> impl Iterator<Item = &'a [T]> {
    let begins = std::iter::once(&0).chain(ends);
    begins.zip(ends).map(|(&from, &to)| &all[from as usize..to as usize])
}

/// What stands around room that is given: no number that the library is likely to write.
pub trait Canary: Copy + PartialEq {
    const CANARY: Self;
    const OTHER: Self;
}

impl Canary for u8 {
    const CANARY: u8 = 0xA5;
    const OTHER: u8 = 0;
}

impl Canary for u32 {
    const CANARY: u32 = 0xA5C3_96E1;
    const OTHER: u32 = 0;
}

impl Canary for u64 {
    const CANARY: u64 = 0xA5C3_96E1_5A3C_691E;
    const OTHER: u64 = 0;
}

const AROUND: usize = 16; // canaries on each side

/// Room for n numbers, and canaries before and behind it.
pub struct Room<T> {
    all: Vec<T>,
}

impl<T: Canary> Room<T> {
    pub fn new(n: usize) -> Room<T> {
        Room { all: vec![T::CANARY; n + 2 * AROUND] }
    }

    pub fn pointer(&mut self) -> *mut T {
        self.all[AROUND..].as_mut_ptr()
    }

    /// What was written, where nothing was written beside it.
    pub fn written(&self, by: &str) -> Result<&[T], String> {
        let end = self.all.len() - AROUND;
        let lives = |canaries: &[T]| canaries.iter().all(|&value| value == T::CANARY);
        law!(lives(&self.all[..AROUND]), "{by} wrote before the room that it was given");
        law!(lives(&self.all[end..]), "{by} wrote behind the room that it was given");
        Ok(&self.all[AROUND..end])
    }

    /// For mutants: write one number beside the room.
    pub fn write_beside(&mut self, behind: bool) {
        let at = if behind { self.all.len() - AROUND } else { AROUND - 1 };
        self.all[at] = T::OTHER;
    }
}
