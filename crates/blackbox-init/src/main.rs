//! blackbox-init
fn main() {}
