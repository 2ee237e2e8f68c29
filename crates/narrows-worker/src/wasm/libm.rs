//! Numbers: the guest takes its functions from the C library that `QuickJS` in this process takes
//! them from, so that both give the same last digit.
#![expect(unsafe_code, reason = "the standard library has not all of them, and some of its own")]

use wasmtime::Linker;

// SAFETY: each is what C's <math.h> says, from a number or two to a number.
unsafe extern "C" {
    safe fn sin(x: f64) -> f64;
    safe fn cos(x: f64) -> f64;
    safe fn tan(x: f64) -> f64;
    safe fn asin(x: f64) -> f64;
    safe fn acos(x: f64) -> f64;
    safe fn atan(x: f64) -> f64;
    safe fn sinh(x: f64) -> f64;
    safe fn cosh(x: f64) -> f64;
    safe fn tanh(x: f64) -> f64;
    safe fn asinh(x: f64) -> f64;
    safe fn acosh(x: f64) -> f64;
    safe fn atanh(x: f64) -> f64;
    safe fn exp(x: f64) -> f64;
    safe fn expm1(x: f64) -> f64;
    safe fn log(x: f64) -> f64;
    safe fn log1p(x: f64) -> f64;
    safe fn log2(x: f64) -> f64;
    safe fn log10(x: f64) -> f64;
    safe fn cbrt(x: f64) -> f64;
    safe fn pow(x: f64, y: f64) -> f64;
    safe fn atan2(y: f64, x: f64) -> f64;
    safe fn hypot(x: f64, y: f64) -> f64;
}

type One = extern "C" fn(f64) -> f64;
type Two = extern "C" fn(f64, f64) -> f64;

const ONE: [(&str, One); 19] = [
    ("sin", sin),
    ("cos", cos),
    ("tan", tan),
    ("asin", asin),
    ("acos", acos),
    ("atan", atan),
    ("sinh", sinh),
    ("cosh", cosh),
    ("tanh", tanh),
    ("asinh", asinh),
    ("acosh", acosh),
    ("atanh", atanh),
    ("exp", exp),
    ("expm1", expm1),
    ("log", log),
    ("log1p", log1p),
    ("log2", log2),
    ("log10", log10),
    ("cbrt", cbrt),
];
const TWO: [(&str, Two); 3] = [("pow", pow), ("atan2", atan2), ("hypot", hypot)];

pub(super) fn link<T: 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    for (name, function) in ONE {
        linker.func_wrap("libm", name, move |x: f64| function(x))?;
    }
    for (name, function) in TWO {
        linker.func_wrap("libm", name, move |x: f64, y: f64| function(x, y))?;
    }
    Ok(())
}
