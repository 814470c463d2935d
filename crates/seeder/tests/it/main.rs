//! Whole sessions and swarms, seen from outside: what a peer says, and what it is told and given.

#[cfg(test)]
mod call;
#[cfg(test)]
mod choker;
#[cfg(test)]
mod chunks;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod hand_out;
#[cfg(test)]
mod hashes;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod revealed;
#[cfg(test)]
mod script;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod support;
#[cfg(test)]
mod swarm;
#[cfg(test)]
mod timers;
#[cfg(test)]
mod withheld;
