//! What was given away when, and what happened: for the charts and the list on `/admin`, and for those of an item.
//!
//! Nothing here reads a clock or a disk: the catalog's owner says the time, and writes what has changed once a minute, in the
//! transaction in which it saves the counters.
//!
//! - [`series`]: figures of minutes, hours, days; what is old is kept in less detail, and then dropped
//! - [`timeline`]: when something was, also before the clock is set
//! - [`events`]: what happened; bounded, and said once if it goes on
//! - [`problems`]: which have come and gone
//! - [`recorder`]: puts counters, time and events together, and says what is to be written

pub mod events;
mod problems;
mod recorder;
pub mod series;
pub mod timeline;

pub use events::{Event, Kind};
pub use problems::Problems;
pub use recorder::{Change, Entry, History, Loaded, Member};
pub use series::{Figures, Series};
