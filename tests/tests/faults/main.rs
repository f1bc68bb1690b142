//! The real pair of processes when something goes wrong: kills, restarts, sources that change,
//! input that cannot be moved, planes without room.

mod backend;
mod black_hole;
mod full_plane;
mod guessed_footer;
mod kill_despray;
mod kill_push;
mod kill_spray;
mod known_path;
mod moving_sources;
mod polite_ends;
mod unsuitable_sources;
mod wrong_records;
