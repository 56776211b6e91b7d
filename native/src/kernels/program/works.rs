//! What each work does, piece by piece: one row, one head of one row, or some numbers.

use super::super::attention::{forward_head, Forward, Rows, Shape};
use super::super::gelu::value;
use super::super::simd::{exp, load_n, store_n, Isa};
use super::*;

#[inline(always)]
pub(super) unsafe fn do_piece<M: Isa>(program: &Program, turn: usize, i: usize) {
    let inputs = program.inputs;
    match program.works[turn] {
        Known::Embed(work) => embed(work, inputs, i),
        Known::Norm(work) => work.piece::<M>(i),
        Known::Product(work) => work.piece::<M>(i),
        Known::Pointwise(work) => pointwise::<M>(work, i * NUMBERS, (work.n as usize).min((i + 1) * NUMBERS)),
        Known::Rotate(work) => rotate(work, inputs, i),
        Known::Remember(work) => remember(work, i),
        Known::Attend(work) => attend::<M>(work, inputs, i),
        Known::Convolve(work) => convolve(work, inputs, i),
        Known::Matmul(work) => work.piece::<M>(inputs.sgemm, i, program.threads),
        Known::ColumnSum(work) => work.piece::<M>(i),
        Known::NormBack(work) => work.piece::<M>(i),
        Known::PointwiseBack(work) => work.piece::<M>(i * NUMBERS, (work.n as usize).min((i + 1) * NUMBERS)),
        Known::EmbedBack(work) => work.piece(inputs, i),
        Known::Sequences(work) => work.piece::<M>(i),
        Known::SequencesBack(work) => work.piece::<M>(i),
        Known::Convolution(work) => work.piece::<M>(inputs, i),
        Known::ConvolutionBack(work) => work.piece::<M>(inputs, i),
        Known::Route(work) => work.piece(inputs.rows as usize, i),
        Known::Mix(work) => work.piece::<M>(inputs.rows as usize, i),
        Known::ScanStep(work) => work.piece::<M>(inputs.positions, i),
        Known::Columns(work) => work.piece(),
        Known::ByHead(work) => work.piece::<M>(i),
    }
}

#[inline(always)]
unsafe fn embed(work: &Embed, inputs: &Inputs, r: usize) {
    let d = work.d as usize;
    let asked = if work.by_position != 0 { inputs.positions } else { inputs.tokens };
    let (from, y) = ((*work.table).start.add(*asked.add(r) as usize * d), work.y.add(r * d));
    for i in 0..d {
        let number = *from.add(i) * work.scale;
        *y.add(i) = if work.add != 0 { *y.add(i) + number } else { number };
    }
}

#[inline(always)]
unsafe fn pointwise<M: Isa>(work: &Pointwise, from: usize, to: usize) {
    let (one, zero) = (M::splat(1.0), M::splat(0.0));
    let mut i = from;
    while i < to {
        let n = M::LANES.min(to - i);
        let x = load_n::<M>(work.x.add(i), n);
        let y = match work.what {
            ADD => M::add(x, load_n::<M>(work.other.add(i), n)),
            MULTIPLY => M::mul(x, load_n::<M>(work.other.add(i), n)),
            RELU => M::max(zero, x),
            RELU2 => M::mul(M::max(zero, x), M::max(zero, x)),
            GELU_TANH => value::<M>(x),
            SILU => M::div(x, M::add(one, exp::<M>(M::sub(zero, x)))),
            _ => sigmoid::<M>(x),
        };
        store_n::<M>(work.y.add(i), y, n);
        i += n;
    }
}

#[inline(always)]
pub(super) unsafe fn sigmoid<M: Isa>(x: M::Vector) -> M::Vector {
    M::div(M::splat(1.0), M::add(M::splat(1.0), exp::<M>(M::sub(M::splat(0.0), x))))
}

/// (a, b) → (a cos - b sin, a sin + b cos) for the halves a and b of what is turned.
unsafe fn rotate(work: &Rotate, inputs: &Inputs, r: usize) {
    let (half, turned) = (work.turned as usize / 2, work.turned as usize);
    let cos = (*work.table).start.add(*inputs.positions.add(r) as usize * 2 * turned);
    let (sin, sign) = (cos.add(turned), if work.back != 0 { -1.0 } else { 1.0 });
    for h in 0..work.heads as usize {
        let (a, b) = {
            let x = work.x.add((r * work.heads as usize + h) * work.d as usize);
            (x, x.add(half))
        };
        for i in 0..half {
            let (p, q) = (*a.add(i), *b.add(i));
            let (cos, sin) = (*cos.add(i), sign * *sin.add(i));
            *a.add(i) = p * cos - q * sin;
            *b.add(i) = p * sin + q * cos;
        }
    }
}

unsafe fn remember(work: &Remember, r: usize) {
    let (memory, d, heads) = (&*work.memory, work.d as usize, work.heads as usize);
    for h in 0..heads {
        let to = memory.rows.at(r, h, memory.places as usize - 1);
        std::ptr::copy_nonoverlapping(work.x.add((r * heads + h) * d), to, d);
    }
}

#[inline(always)]
unsafe fn attend<M: Isa>(work: &Attend, inputs: &Inputs, i: usize) {
    let (heads, d) = (work.heads as usize, work.d as usize);
    let (r, h) = (i / heads, i % heads);
    let (keys, values) = (&*work.keys, &*work.values);
    let first = keys.before(inputs, r) as i64;
    let own = |start: *const f32| Rows { start: start.add(r * heads * d).cast_mut(), batch: 0, head: work.d, place: 0 };
    let task = Forward {
        shape: Shape {
            batch: 1,
            heads: work.heads,
            groups: work.groups,
            queries: 1,
            keys: keys.places,
            width: work.d,
            scale: work.scale,
            first: &first,
        },
        q: own(work.q),
        k: keys.row(r),
        v: values.row(r),
        y: own(work.y),
        log_sums: std::ptr::null_mut(),
    };
    forward_head::<M>(&task, 0, h);
}

#[inline(always)]
unsafe fn convolve(work: &Convolve, inputs: &Inputs, r: usize) {
    let (memory, d) = (&*work.memory, work.d as usize);
    let places = memory.places as usize;
    let near = (work.width as usize).min(places - memory.before(inputs, r));
    for i in 0..d {
        let tap = |back: usize| *work.taps.add(back * d + i) * *memory.rows.at(r, 0, places - 1 - back).add(i);
        let bias = if work.bias.is_null() { 0.0 } else { *work.bias.add(i) };
        *work.y.add(r * d + i) = (0..near).map(tap).sum::<f32>() + bias;
    }
}
