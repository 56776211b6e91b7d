//! Damage that is done to what the library gave, behind its back: each has to be found.

macro_rules! mutants {
    ($($name:ident $word:literal $meaning:literal,)+) => {
        #[derive(Clone, Copy, PartialEq)]
        pub enum Mutant { $($name),+ }

        /// All of them: what they are called, and what they do.
        pub const MUTANTS: &[(Mutant, &str, &str)] = &[$((Mutant::$name, $word, $meaning)),+];
    };
}

mutants! {
    ShiftEnd "shift_end" "a chunk ends a byte later",
    JoinChunks "join_chunks" "two chunks are one",
    DropByte "drop_byte" "the last id of a text is lost",
    Unmerged "unmerged" "a text becomes the ids of its bytes",
    ShiftText "shift_text" "in a batch an id goes from one text to the next",
    MoveText "move_text" "a text that lies elsewhere has another last id",
    ForgetMerge "forget_merge" "the last merge is not learned",
    SwapPair "swap_pair" "a learned pair is turned round",
    BlurFingerprint "blur_fingerprint" "a bit of a fingerprint is another one",
    Miscount "miscount" "a text has a character more",
    LoseByte "lose_byte" "a text on disk stands for a byte more",
    MoveCut "move_cut" "a document ends a byte later",
    ForgetEnd "forget_end" "a document has another end token",
    LoseWord "lose_word" "a word has another hash",
    Unsigned "unsigned" "a signature has another number",
    WriteBefore "write_before" "something is written before the room that was given",
    WriteBehind "write_behind" "something is written behind it",
    Accept "accept" "what has to be refused is not",
    Panic "panic" "a panic is caught at the border",
    Crash "crash" "the process ends by a signal",
    Hang "hang" "a call does not come back",
    Leak "leak" "ids are not freed: for valgrind",
    ReadBehind "read_behind" "a byte behind a text is read: for valgrind",
}

impl Mutant {
    /// By its word.
    pub fn called(word: &str) -> Option<Mutant> {
        MUTANTS.iter().find(|(_, its, _)| *its == word).map(|(mutant, _, _)| *mutant)
    }
}
