//! blackboxd
fn main() {}
