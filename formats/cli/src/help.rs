//! Manual pages and completions, from a program's own definitions: only the program reaches the box,
//! so it brings them along.

pub mod completion;
pub mod manual;
