// SPDX-License-Identifier: GPL-2.0

//! Which version the grant table has: pure, checked on the build machine. To be wrong about it is to lend frames that
//! nobody meant, as the entries of both versions have different sizes.

/// The version of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Entries of 8 bytes.
    V1,
    /// Entries of 16 bytes, and their status in frames of its own.
    V2,
}

impl Version {
    /// Its number.
    pub const fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The version of a number.
    const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }
}

/// What the hypervisor answers.
pub trait Hypervisor {
    /// Why it does not.
    type Error;

    /// Has it use a version, and returns the one that it uses now (`GNTTABOP_set_version`).
    fn set_version(&self, number: u32) -> Result<u32, Self::Error>;

    /// The version that it uses (`GNTTABOP_get_version`); [`None`] where it does not know the question, because it knows
    /// the first version only.
    fn version(&self) -> Result<Option<u32>, Self::Error>;
}

/// What became of a wish for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<E> {
    /// The version that the hypervisor uses.
    pub version: Version,
    /// Why it does not use the one that was wanted, where it said so.
    pub refused: Option<E>,
}

/// Why it is not known which version the table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown<E> {
    /// The hypervisor does not tell.
    Untold(E),
    /// It names one that there is not.
    Strange(u32),
}

/// Has the hypervisor use a version if it can. One that has grants in use, or has been told not to, stays with what it
/// has.
///
/// # Errors
///
/// [`Unknown`]: the table must not be used.
pub fn choose<H: Hypervisor>(
    hypervisor: &H,
    wanted: u32,
) -> Result<Chosen<H::Error>, Unknown<H::Error>> {
    let (number, refused) = match hypervisor.set_version(wanted) {
        Ok(number) => (number, None),
        Err(error) => {
            let used = hypervisor.version().map_err(Unknown::Untold)?;
            (used.unwrap_or(1), Some(error))
        }
    };
    let version = Version::from_number(number).ok_or(Unknown::Strange(number))?;
    Ok(Chosen { version, refused })
}
