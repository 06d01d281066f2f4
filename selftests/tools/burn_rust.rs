// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! CPU time in Rust: a generic method, a method of a trait, a function; see burn.h.
use std::arch::asm;
use std::time::Instant;

const ROUND_NS: i64 = 17_300_000;
const PERCENT: [i64; 3] = [60, 30, 10];
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

#[inline(always)]
fn cpu_ns() -> i64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.seconds * 1_000_000_000 + time.nanoseconds
}

// Of different SPIN, or the compiler makes one function of equal ones.
#[inline(always)]
fn burn<const SPIN: u32>(spent: &mut i64, until: i64) {
    let start = cpu_ns();
    let mut now = start;
    while *spent + now - start < until {
        for _ in 0..SPIN {
            unsafe { asm!("") };
        }
        now = cpu_ns();
    }
    *spent += now - start;
}

struct Engine<T> {
    of: T,
}

impl<T: Copy + Into<i64>> Engine<T> {
    #[inline(never)]
    fn run(&self, spent: &mut i64, until: i64) {
        burn::<200_000>(spent, until * Into::<i64>::into(self.of));
    }
}

trait Work {
    fn work(&self, spent: &mut i64, until: i64);
}

struct Worker;

impl Work for Worker {
    #[inline(never)]
    fn work(&self, spent: &mut i64, until: i64) {
        burn::<200_001>(spent, until);
    }
}

mod inner {
    #[inline(never)]
    pub fn plain(spent: &mut i64, until: i64) {
        super::burn::<200_002>(spent, until);
    }
}

fn main() {
    let total = std::env::args().nth(1).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) * 1_000_000;
    let start = Instant::now();
    let start_ns = cpu_ns();
    let engine = Engine { of: 1i32 };
    let mut spent = [0i64; 3];
    let mut until = 0;

    if total <= 0 {
        eprintln!("usage: burn_rust MILLISECONDS");
        std::process::exit(2);
    }
    while until < total {
        until = std::cmp::min(until + ROUND_NS, total);
        engine.run(&mut spent[0], until * PERCENT[0] / 100);
        Worker.work(&mut spent[1], until * PERCENT[1] / 100);
        inner::plain(&mut spent[2], until * PERCENT[2] / 100);
    }
    let end_ns = cpu_ns();
    println!("{} total\n{} wall", end_ns, start.elapsed().as_nanos());
    // The compiler's older names have no types for parameters; nor the crate's for these.
    let v0 = option_env!("BURN_V0").is_some();
    let own = if v0 { "burn_rust_v0" } else { "burn_rust" };
    let parameter = if v0 { "i32" } else { "T" };
    let method = format!("{own}::Engine<{parameter}>");
    println!("{} {own}::main", end_ns - start_ns);
    println!("{} {}::run", spent[0], if v0 { format!("<{method}>") } else { method });
    println!("{} <{own}::Worker as {own}::Work>::work", spent[1]);
    println!("{} {own}::inner::plain", spent[2]);
}
