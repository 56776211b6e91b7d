//! A list of small works over a few rows, one after another in one call: decoding, where what lies between the kernels
//! costs more than they do. `linnet/ops/program.py` writes the list.
//!
//! Every instruction works on arrays of the caller, `rows` rows each. What changes from one call to the next is read through
//! a pointer: `Inputs`, the memories that states keep (their places grow), the tables by position.

pub mod experts;
pub mod heads;
pub mod scan_step;
pub mod training;
mod works;

use super::attention::Rows;
use super::few_rows::FewRows;
use super::matmul::{Matmul, Sgemm};
use super::norm::Norm;
use super::parallel::{in_turn_unless, Threads};
use crate::dispatch;
use experts::{Mix, Route};
use heads::{ByHead, Columns};
use scan_step::ScanStep;
use training::*;
use works::do_piece;

const NUMBERS: usize = 2048; // of a piece of what is done number by number

/// The token of each row, its position in its document, and the place in the stream where that document began.
#[repr(C)]
pub struct Inputs {
    pub rows: i64,
    pub tokens: *const i64,
    pub positions: *const i64,
    pub begins: *const i64,
    pub sgemm: Option<Sgemm>,
}

/// Some places that a state holds, the last of them for what is read now. first: place of the first one in the stream.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memory {
    pub rows: Rows,
    pub places: i64,
    pub first: i64,
}

/// A row of numbers for each token or position.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Table {
    pub start: *const f32,
    pub rows: i64,
}

/// y (rows, d) = table[token or position] · scale, added to what is in y if `add`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Embed {
    pub table: *const Table,
    pub by_position: i32,
    pub add: i32,
    pub d: i64,
    pub scale: f32,
    pub y: *mut f32,
}

/// y = x ∘ other, or f(x), over n numbers; `what` is one of `ADD` … `SIGMOID`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pointwise {
    pub what: u32,
    pub n: i64,
    pub x: *const f32,
    pub other: *const f32,
    pub y: *mut f32,
}

pub const ADD: u32 = 0;
pub const MULTIPLY: u32 = 1;
pub const RELU: u32 = 2;
pub const RELU2: u32 = 3;
pub const GELU_TANH: u32 = 4;
pub const SILU: u32 = 5;
pub const SIGMOID: u32 = 6;

/// x (rows, heads, d) turned in place by the angles of its position: a table row is `turned` cosines, then as many sines.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Rotate {
    pub table: *const Table,
    pub heads: i64,
    pub d: i64,
    pub turned: i64,
    pub back: i32,
    pub x: *mut f32,
}

/// x (rows, heads, d) to the last place of a memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Remember {
    pub memory: *const Memory,
    pub heads: i64,
    pub d: i64,
    pub x: *const f32,
}

/// y (rows, heads, d): attention of q (rows, heads, d) to two memories of `groups` heads, from where the document began.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Attend {
    pub keys: *const Memory,
    pub values: *const Memory,
    pub heads: i64,
    pub groups: i64,
    pub d: i64,
    pub scale: f32,
    pub q: *const f32,
    pub y: *mut f32,
}

/// y (rows, d) = bias + Σ_j taps_j ⊙ the input j places back, of a memory with one head, from where the document began.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Convolve {
    pub memory: *const Memory,
    pub width: i64,
    pub d: i64,
    pub taps: *const f32,
    pub bias: *const f32,
    pub y: *mut f32,
}

/// One of the works above, by number. only_if: a number for each row; where all are 0, the work is passed over; NULL: never.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction {
    pub kind: u32,
    pub only_if: *const f32,
    pub work: Work,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union Work {
    pub embed: Embed,
    pub norm: Norm,
    pub product: FewRows,
    pub pointwise: Pointwise,
    pub rotate: Rotate,
    pub remember: Remember,
    pub attend: Attend,
    pub convolve: Convolve,
    pub matmul: Matmul,
    pub column_sum: ColumnSum,
    pub norm_back: NormBack,
    pub pointwise_back: PointwiseBack,
    pub embed_back: EmbedBack,
    pub sequences: Sequences,
    pub sequences_back: SequencesBack,
    pub convolution: Convolution,
    pub convolution_back: ConvolutionBack,
    pub route: Route,
    pub mix: Mix,
    pub scan_step: ScanStep,
    pub columns: Columns,
    pub by_head: ByHead,
}

/// The same, so that the compiler knows which.
enum Known<'a> {
    Embed(&'a Embed),
    Norm(&'a Norm),
    Product(&'a FewRows),
    Pointwise(&'a Pointwise),
    Rotate(&'a Rotate),
    Remember(&'a Remember),
    Attend(&'a Attend),
    Convolve(&'a Convolve),
    Matmul(&'a Matmul),
    ColumnSum(&'a ColumnSum),
    NormBack(&'a NormBack),
    PointwiseBack(&'a PointwiseBack),
    EmbedBack(&'a EmbedBack),
    Sequences(&'a Sequences),
    SequencesBack(&'a SequencesBack),
    Convolution(&'a Convolution),
    ConvolutionBack(&'a ConvolutionBack),
    Route(&'a Route),
    Mix(&'a Mix),
    ScanStep(&'a ScanStep),
    Columns(&'a Columns),
    ByHead(&'a ByHead),
}

impl Instruction {
    unsafe fn known(&self) -> Option<Known<'_>> {
        Some(match self.kind {
            0 => Known::Embed(&self.work.embed),
            1 => Known::Norm(&self.work.norm),
            2 => Known::Product(&self.work.product),
            3 => Known::Pointwise(&self.work.pointwise),
            4 => Known::Rotate(&self.work.rotate),
            5 => Known::Remember(&self.work.remember),
            6 => Known::Attend(&self.work.attend),
            7 => Known::Convolve(&self.work.convolve),
            8 => Known::Matmul(&self.work.matmul),
            9 => Known::ColumnSum(&self.work.column_sum),
            10 => Known::NormBack(&self.work.norm_back),
            11 => Known::PointwiseBack(&self.work.pointwise_back),
            12 => Known::EmbedBack(&self.work.embed_back),
            13 => Known::Sequences(&self.work.sequences),
            14 => Known::SequencesBack(&self.work.sequences_back),
            15 => Known::Convolution(&self.work.convolution),
            16 => Known::ConvolutionBack(&self.work.convolution_back),
            17 => Known::Route(&self.work.route),
            18 => Known::Mix(&self.work.mix),
            19 => Known::ScanStep(&self.work.scan_step),
            20 => Known::Columns(&self.work.columns),
            21 => Known::ByHead(&self.work.by_head),
            _ => return None,
        })
    }
}

struct Program<'a> {
    works: Vec<Known<'a>>,
    only_if: Vec<*const f32>,
    inputs: &'a Inputs,
    threads: usize,
}

// SAFETY: the pieces of a work write to places of their own, and works are done one after another
unsafe impl Sync for Program<'_> {}

/// Do all works in their order; false, and nothing is done, where one of them makes no sense or asks for a row that its
/// table does not have.
///
/// # Safety
/// Everything that the instructions and inputs name can be read, and what they say is written, written.
pub unsafe fn run(instructions: &[Instruction], inputs: &Inputs, threads: Threads) -> bool {
    let works: Option<Vec<_>> = instructions.iter().map(|instruction| instruction.known()).collect();
    let Some(works) = works else { return false };
    let only_if = instructions.iter().map(|instruction| instruction.only_if).collect();
    let program = Program { works, only_if, inputs, threads: (threads.count as usize).max(1) };
    if !inputs.is_sound() || !program.works.iter().all(|work| program.is_sound(work)) {
        return false;
    }
    let turns: Vec<usize> = program.works.iter().map(|work| program.pieces(work)).collect();
    let program = &program;
    in_turn_unless(
        threads,
        &turns,
        |turn| program.nobody_asks(turn),
        |turn, piece| {
            dispatch!(do_piece(program: &Program, turn: usize, piece: usize));
        },
    );
    true
}

impl Inputs {
    fn is_sound(&self) -> bool {
        self.rows > 0 && !self.tokens.is_null() && !self.positions.is_null() && !self.begins.is_null()
    }
}

impl Program<'_> {
    /// Whether what decides on a work is 0 in all rows.
    fn nobody_asks(&self, turn: usize) -> bool {
        let asked = self.only_if[turn];
        // SAFETY: `run` asks for rows numbers
        !asked.is_null() && (0..self.inputs.rows as usize).all(|r| unsafe { *asked.add(r) } == 0.0)
    }

    /// Pieces of a work, each of which one thread does.
    fn pieces(&self, work: &Known) -> usize {
        let rows = self.inputs.rows as usize;
        match work {
            Known::Norm(work) => work.pieces(),
            Known::Product(work) => work.pieces(),
            Known::Pointwise(work) => (work.n as usize).div_ceil(NUMBERS),
            Known::Attend(work) => rows * work.heads as usize,
            Known::Matmul(work) => work.pieces(self.threads),
            Known::ColumnSum(work) => work.pieces(),
            Known::NormBack(work) => work.pieces(),
            Known::PointwiseBack(work) => (work.n as usize).div_ceil(NUMBERS),
            Known::EmbedBack(work) => work.pieces(),
            Known::Sequences(work) => (work.task.shape.batch * work.task.shape.heads) as usize,
            Known::SequencesBack(work) => (work.task.shape.batch * work.task.shape.groups) as usize,
            Known::Convolution(work) => work.pieces(rows),
            Known::ConvolutionBack(work) => work.pieces(rows),
            Known::ScanStep(work) => work.pieces(rows),
            Known::Embed(_) | Known::Rotate(_) | Known::Remember(_) | Known::Convolve(_) => rows,
            Known::Route(_) | Known::Mix(_) => rows,
            Known::Columns(_) => 1,
            Known::ByHead(work) => rows * work.heads as usize,
        }
    }

    /// Whether the numbers of a work make sense together.
    unsafe fn is_sound(&self, work: &Known) -> bool {
        let inputs = self.inputs;
        match work {
            Known::Embed(work) => {
                let asked = if work.by_position != 0 { inputs.positions } else { inputs.tokens };
                work.d > 0 && !work.y.is_null() && covers(work.table, asked, inputs.rows)
            }
            Known::Norm(work) => work.is_sound(),
            Known::Product(work) => work.is_sound() && work.rows == inputs.rows,
            Known::Pointwise(work) => {
                let second = work.what > MULTIPLY || !work.other.is_null();
                work.what <= SIGMOID && second && work.n > 0 && !work.x.is_null() && !work.y.is_null()
            }
            Known::Rotate(work) => {
                let sizes = work.heads > 0 && work.turned > 0 && work.turned % 2 == 0 && work.turned <= work.d;
                sizes && !work.x.is_null() && covers(work.table, inputs.positions, inputs.rows)
            }
            Known::Remember(work) => work.heads > 0 && work.d > 0 && !work.x.is_null() && is_filled(work.memory),
            Known::Attend(work) => {
                let sizes = work.d > 0 && work.groups > 0 && work.heads > 0 && work.heads % work.groups == 0;
                let memories = is_filled(work.keys) && is_filled(work.values);
                sizes && !work.q.is_null() && !work.y.is_null() && memories && (*work.keys).places == (*work.values).places
            }
            Known::Convolve(work) => {
                let pointers = !work.taps.is_null() && !work.y.is_null() && is_filled(work.memory);
                work.width > 0 && work.d > 0 && pointers
            }
            Known::Matmul(work) => work.is_sound(),
            Known::ColumnSum(work) => work.rows > 0 && work.d > 0 && !work.x.is_null() && !work.y.is_null(),
            Known::NormBack(work) => work.norm.is_sound() && !work.norm.scale.is_null() && !work.g.is_null() && !work.x.is_null(),
            Known::PointwiseBack(work) => {
                let second = work.what != MULTIPLY || (!work.other.is_null() && !work.grad_other.is_null());
                let pointers = !work.x.is_null() && !work.g.is_null() && !work.grad_x.is_null();
                work.what > ADD && work.what <= SIGMOID && work.n > 0 && second && pointers
            }
            Known::EmbedBack(work) => {
                let table = Table { start: work.table, rows: work.vocab };
                let asked = if work.by_position != 0 { inputs.positions } else { inputs.tokens };
                work.d > 0 && !work.g.is_null() && covers(&table, asked, inputs.rows)
            }
            Known::Sequences(work) => work.task.is_sound(),
            Known::SequencesBack(work) => work.task.is_sound() && !work.task.log_sums.is_null() && work.gradients.is_sound(),
            Known::Convolution(work) => {
                let pointers = !work.x.is_null() && !work.taps.is_null() && !work.y.is_null();
                work.length > 0 && inputs.rows % work.length == 0 && work.width > 0 && work.d > 0 && pointers
            }
            Known::ConvolutionBack(work) => {
                let pointers = !work.forward.x.is_null() && !work.forward.taps.is_null();
                pointers && !work.g.is_null() && !work.x.is_null() && !work.taps.is_null() && work.forward.length > 0
            }
            Known::Route(work) => work.is_sound(),
            Known::Mix(work) => work.is_sound(),
            Known::ScanStep(work) => work.is_sound(),
            Known::Columns(work) => work.is_sound(),
            Known::ByHead(work) => work.is_sound(),
        }
    }
}

unsafe fn is_filled(memory: *const Memory) -> bool {
    !memory.is_null() && !(*memory).rows.start.is_null() && (*memory).places > 0 && (*memory).first >= 0
}

/// Whether a table has a row for everything that is asked for.
unsafe fn covers(table: *const Table, asked: *const i64, rows: i64) -> bool {
    let there = !table.is_null() && !(*table).start.is_null();
    there && (0..rows as usize).all(|r| (0..(*table).rows).contains(&*asked.add(r)))
}

impl Memory {
    /// How many of its places lie before the document of row r.
    unsafe fn before(&self, inputs: &Inputs, r: usize) -> usize {
        (*inputs.begins.add(r) - self.first).clamp(0, self.places - 1) as usize
    }

    /// Its places for row r alone.
    unsafe fn row(&self, r: usize) -> Rows {
        Rows { start: self.rows.at(r, 0, 0), ..self.rows }
    }
}
