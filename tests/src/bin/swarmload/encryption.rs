//! Message stream encryption, the side of who connects, RC4 only.

use std::io::{Error, ErrorKind, Read, Result, Write};

use seeder::Handshake;
use seeder::mse::{Agreed, CHANCE, Initiator, Offer};
use system_tests::content::Chance;

/// Agrees on keys; the handshake goes out with the last step. What comes after is not read.
pub fn initiate(
    stream: &mut (impl Read + Write),
    handshake: Handshake,
    chance: &mut Chance,
) -> Result<Agreed> {
    let random = chance.bytes(CHANCE).try_into().expect("so many");
    let mut to_send = Vec::new();
    let mut initiator = Initiator::new(handshake, Offer::Rc4, &random, &mut to_send);
    loop {
        stream.write_all(&to_send)?;
        to_send.clear();
        // Byte by byte, since what follows belongs to the connection.
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        let agreed = initiator.receive(&byte, &mut to_send);
        if let Some(agreed) = agreed.map_err(|error| Error::new(ErrorKind::InvalidData, error))? {
            return Ok(agreed);
        }
    }
}
