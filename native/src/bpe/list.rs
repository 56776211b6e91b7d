//! Ids as a list of Python's, of numbers that are there already: making each anew, as every other way does, takes longer than
//! finding the ids.
//!
//! Only functions of Python's stable interface are used; the caller says where they are, and holds Python's lock.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use super::prefetch;

type Object = *mut c_void;

/// `PyList_New`, `PyList_SetItem` (which takes a reference over), `Py_IncRef`, `Py_DecRef`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Python {
    list_new: unsafe extern "C" fn(isize) -> Object,
    set_item: unsafe extern "C" fn(Object, isize, Object) -> c_int,
    inc_ref: unsafe extern "C" fn(Object),
    dec_ref: unsafe extern "C" fn(Object),
}

const AHEAD: usize = 16; // ids whose numbers are asked for before they are needed: a vocabulary's numbers fill more than a cache

/// A new list of `numbers[id]` for every id; NULL where one is beyond `numbers`, or there is no memory.
///
/// # Safety
/// The calling thread holds Python's lock, and `numbers` are Python's objects.
pub unsafe fn list(ids: &[u32], numbers: &[Object], python: Python) -> Object {
    if ids.iter().any(|&id| id as usize >= numbers.len()) {
        return null_mut();
    }
    let list = (python.list_new)(ids.len() as isize);
    if list.is_null() {
        return list;
    }
    for (place, &id) in ids.iter().enumerate() {
        if let Some(&later) = ids.get(place + AHEAD) {
            prefetch(numbers[later as usize]);
        }
        let number = numbers[id as usize];
        (python.inc_ref)(number);
        if (python.set_item)(list, place as isize, number) != 0 {
            (python.dec_ref)(list);
            return null_mut();
        }
    }
    list
}
