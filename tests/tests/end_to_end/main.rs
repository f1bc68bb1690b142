//! The real pair of processes on good input: what goes out comes back, and nothing else.

mod api;
mod bounded_memory;
mod closing;
mod demo;
mod despray_shapes;
mod dry_run;
mod file_copy;
mod formats;
mod generations;
mod many_files;
mod object_copies;
mod object_planes;
mod origins;
mod other_stores;
mod planes_from;
mod proofs;
mod push_parts;
mod round_trip;
mod sources;
mod spray_inside;
mod store_copies;
mod store_faces;
