//! One input: its chance, the texts that it was given, and what came of them.

use super::chance::{mixed, Chance};
use super::mutants::Mutant;
use super::text::text;

/// Whether a law holds, or what was broken.
pub type Held = Result<(), String>;

pub struct Case {
    pub chance: Chance,
    pub mutant: Option<Mutant>,
    /// To be shown where a law is broken.
    pub texts: Vec<Box<[u8]>>,
    /// Of all that the library said: the same for the same input, on any machine.
    pub digest: u64,
}

impl Case {
    pub fn new(seed: u64, number: u64, mutant: Option<Mutant>) -> Case {
        Case { chance: Chance::of(seed, number), mutant, texts: Vec::new(), digest: mixed(number) }
    }

    /// A text in memory of exactly its size.
    pub fn text(&mut self) -> Box<[u8]> {
        let text = text(&mut self.chance);
        self.given(text)
    }

    /// The same of a text that was made elsewhere.
    pub fn given(&mut self, text: Vec<u8>) -> Box<[u8]> {
        let text = text.into_boxed_slice();
        self.texts.push(text.clone());
        text
    }

    /// Up to `most` texts, some of them equal to others.
    pub fn some_texts(&mut self, most: usize) -> Vec<Box<[u8]>> {
        let mut texts: Vec<Box<[u8]>> = Vec::new();
        for _ in 0..self.chance.between(0, most) {
            if texts.is_empty() || !self.chance.one_in(8) {
                texts.push(self.text());
            } else {
                texts.push(self.chance.pick(&texts).clone());
            }
        }
        texts
    }

    /// Take what the library said into the digest.
    pub fn note(&mut self, said: impl IntoIterator<Item = impl Into<u64>>) {
        for value in said {
            self.digest = mixed(self.digest ^ value.into());
        }
    }

    /// Whether a mutant has to damage what comes.
    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
