//! What a principal may do, as roles. Writers and reviewers may also read; admins may do everything. An auditor reads the
//! evidence alone.

/// A role that a token gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads documents, collections, the change feed, snapshots and tables.
    Reader,
    /// Changes them, and keeps snapshots.
    Writer,
    /// Reviews collisions.
    Reviewer,
    /// Reads what was done by whom.
    Auditor,
    /// Erases objects, and does everything else.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Reader, Self::Writer, Self::Reviewer, Self::Auditor, Self::Admin];

    /// The name in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Reviewer => "reviewer",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Reader => 1,
            Self::Writer => 2,
            Self::Reviewer => 4,
            Self::Auditor => 8,
            Self::Admin => 16,
        }
    }

    /// The roles that this one has, itself too.
    fn bits(self) -> u8 {
        match self {
            Self::Reader | Self::Auditor => self.bit(),
            Self::Writer | Self::Reviewer => self.bit() | Self::Reader.bit(),
            Self::Admin => Self::ALL.iter().fold(0, |bits, role| bits | role.bit()),
        }
    }
}

/// Several roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// The roles of these names. A name that is none gives nothing: it may be of another service that the token is for.
    pub fn of_names<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let named = |name: &str| Role::ALL.into_iter().find(|role| role.name() == name);
        Self(names.filter_map(named).fold(0, |bits, role| bits | role.bits()))
    }

    /// What an admin has.
    pub fn all() -> Self {
        Self(Role::Admin.bits())
    }

    /// Whether they hold this one.
    pub fn hold(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// All that they hold, a bit each.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The names of all that they hold.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Role::ALL.into_iter().filter(move |role| self.hold(*role)).map(Role::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_knows_the_same_roles_by_the_same_bits() {
        let named = crate::config::ROLE_NAMES.map(|name| Role::ALL.into_iter().find(|role| role.name() == name));
        assert_eq!(named.map(|role| role.unwrap().bit()), [1, 2, 4, 8, 16]);
    }

    #[test]
    fn roles_hold_what_they_imply() {
        let held = |name: &str| Roles::of_names([name].into_iter()).names().collect::<Vec<_>>();
        assert_eq!(held("reader"), ["reader"]);
        assert_eq!(held("writer"), ["reader", "writer"]);
        assert_eq!(held("reviewer"), ["reader", "reviewer"]);
        assert_eq!(held("auditor"), ["auditor"]);
        assert_eq!(held("admin"), ["reader", "writer", "reviewer", "auditor", "admin"]);
        for none in ["", "Admin", "root", "reader "] {
            assert!(held(none).is_empty(), "{none:?}");
        }
        assert_eq!(Roles::of_names(["writer", "auditor"].into_iter()).names().count(), 3);
        assert_eq!(Roles::all().names().count(), 5);
    }
}
