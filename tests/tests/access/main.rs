//! Who may do what: enrollment, policy, landing zones, identities, versions.

mod canaries;
mod enrollment;
mod identity;
mod landing;
mod policy;
mod reach;
