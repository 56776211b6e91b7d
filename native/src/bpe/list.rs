//! Lists of Python's: ids as one of numbers that are there already, since making each anew, as every other way does, takes longer
//! than finding the ids; and where the texts of one lie, since putting them together takes what only one thread can do.
//!
//! Only functions of Python's stable interface are used; the caller says where they are, and holds Python's lock.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;

use super::prefetch;

type Object = *mut c_void;

/// `PyList_New`, `PyList_SetItem` (which takes a reference over), `Py_IncRef`, `Py_DecRef`, `PyList_GetItem` (which lends one),
/// `PyBytes_AsStringAndSize`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Python {
    list_new: unsafe extern "C" fn(isize) -> Object,
    set_item: unsafe extern "C" fn(Object, isize, Object) -> c_int,
    inc_ref: unsafe extern "C" fn(Object),
    dec_ref: unsafe extern "C" fn(Object),
    get_item: unsafe extern "C" fn(Object, isize) -> Object,
    bytes_at: unsafe extern "C" fn(Object, *mut *mut c_char, *mut isize) -> c_int,
}

const AHEAD: usize = 16; // ids whose numbers are asked for before they are needed: a vocabulary's numbers fill more than a cache

/// A new list of `numbers[id]` for every id; NULL where one is beyond `numbers`, or there is no memory, and Python has an error for either.
///
/// # Safety
/// The calling thread holds Python's lock, and `numbers` are Python's objects.
pub unsafe fn list(ids: &[u32], numbers: &[Object], python: Python) -> Object {
    if ids.iter().any(|&id| id as usize >= numbers.len()) {
        return (python.list_new)(-1); // which is refused: ctypes cannot take NULL where no error was set
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

/// Where the bytes of each item of a list lie, and how many they are; None where one is no bytes, which Python then has an error for.
///
/// # Safety
/// The calling thread holds Python's lock, and `list` is a list of at least as many items.
pub unsafe fn places(list: Object, at: &mut [*const u8], sizes: &mut [u64], python: Python) -> Option<()> {
    for (i, (at, size)) in at.iter_mut().zip(sizes).enumerate() {
        let item = (python.get_item)(list, i as isize);
        let (mut bytes, mut n) = (null_mut(), 0);
        if item.is_null() || (python.bytes_at)(item, &mut bytes, &mut n) != 0 {
            return None;
        }
        (*at, *size) = (bytes.cast(), n as u64);
    }
    Some(())
}
