//! What a process takes from itself before it meets what strangers have made: files outside of its folders (Landlock), and the
//! calls to the kernel that it has no use for (seccomp). For good, for all threads and programs that it starts from then on.
//!
//! A call that is not on the list fails as if the kernel did not know it (`ENOSYS`): libraries then take an older one, and a
//! stranger who runs code in the process gets as little of it. Killing the process would take the box off the net for a call
//! that a later version of a library makes first, and somebody would have to come.

mod calls;
mod files;

pub use calls::{Group, Socket, limit_calls};
pub use files::{Reach, limit_files};

/// Why a process can't be limited: the kernel, or a library on this architecture, can't.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
