//! The key exchange: Diffie and Hellman's, modulo a prime of 768 bits.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};
use torrent::InfoHash;

use super::{Error, hash};

/// Bytes of a public key, and of the secret.
pub(super) const KEY: usize = 96;

/// Bytes of a private key: as many as other clients use, and more than a cipher broken since is worth.
pub(super) const PRIVATE_KEY: usize = 20;

const_monty_params!(
    Prime,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
     4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563"
);

type Number = ConstMontyForm<Prime, { U768::LIMBS }>;

/// The generator of the group.
const GENERATOR: Number = Number::new(&U768::from_u8(2));

/// What both sides know after the exchange, and nobody else who only listened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secret([u8; KEY]);

/// A private key, and what is made of it.
#[derive(Debug)]
pub(super) struct PrivateKey(U192);

impl PrivateKey {
    /// From random bytes.
    pub(super) fn new(random: [u8; PRIVATE_KEY]) -> Self {
        let mut bytes = [0; U192::BYTES];
        bytes[U192::BYTES - PRIVATE_KEY..].copy_from_slice(&random);
        // Whatever chance says, the key is no small one.
        bytes[U192::BYTES - PRIVATE_KEY] |= 0x80;
        Self(U192::from_be_slice(&bytes))
    }

    pub(super) fn public_key(&self) -> [u8; KEY] {
        self.power_of(GENERATOR)
    }

    /// The secret that we share with the owner of this public key.
    pub(super) fn secret(&self, theirs: &[u8; KEY]) -> Result<Secret, Error> {
        let theirs = U768::from_be_slice(theirs);
        let largest = Prime::PARAMS.modulus().as_ref().wrapping_sub(&U768::from_u8(2));
        if theirs < U768::from_u8(2) || theirs > largest {
            return Err(Error::BadPublicKey);
        }
        Ok(Secret(self.power_of(Number::new(&theirs))))
    }

    fn power_of(&self, base: Number) -> [u8; KEY] {
        let mut bytes = [0; KEY];
        bytes.copy_from_slice(base.pow_vartime(&self.0).retrieve().to_be_bytes().as_ref());
        bytes
    }
}

impl Secret {
    /// The hash of the secret behind this label.
    pub(super) fn hash(&self, label: [u8; 4]) -> [u8; 20] {
        hash(label, &[&self.0])
    }

    /// The key of a cipher for this torrent.
    pub(super) fn key(&self, label: [u8; 4], info_hash: InfoHash) -> [u8; 20] {
        hash(label, &[&self.0, info_hash.as_bytes()])
    }
}
