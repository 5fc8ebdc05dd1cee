//! The operating system's randomness, behind the trait that every consumer takes as an argument.

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};

use super::secret::SecretText;

/// A generator that reads the operating system's entropy at each call.
///
/// A kernel that cannot give randomness ends the process: nothing can be sealed without it.
#[must_use]
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// So many decimal digits, at most 18: all numbers of that length are equally likely, but for less than one in a million million.
pub fn digits(count: u32, rng: &mut impl CryptoRng) -> SecretText {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    let number = u128::from_be_bytes(bytes) % 10_u128.pow(count.min(18));
    SecretText::new(format!("{number:0width$}", width = count as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_all_its_digits() {
        for _ in 0..1000 {
            let code = digits(6, &mut system());
            assert!(code.expose().len() == 6 && code.expose().bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
