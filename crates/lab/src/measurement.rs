//! What is measured of a model beside quality and cost: ids, which records keep and claims name, and titles for people.

use rectify_core::UnknownName;

/// A single number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measurement {
    /// Multiply-adds of a cascade, a user and item.
    MultiplyAdds,
    /// Share of the teacher's best so many items that the student lists too.
    Overlap(usize),
    /// Widest difference between the share of items that a module of a cascade was asked to reject and what it rejects.
    RejectionGap,
}

impl Measurement {
    /// What records and claims call it.
    pub(crate) fn id(self) -> String {
        match self {
            Self::MultiplyAdds => "multiply-adds".into(),
            Self::Overlap(k) => format!("overlap@{k}"),
            Self::RejectionGap => "rejection-gap".into(),
        }
    }

    /// What people read.
    pub(crate) fn title(self) -> String {
        match self {
            Self::MultiplyAdds => "multiply-adds a pair".into(),
            Self::Overlap(k) => format!("overlap@{k} with the teacher"),
            Self::RejectionGap => "widest gap of rejection".into(),
        }
    }

    /// The measurement of that id.
    pub(crate) fn of(id: &str) -> Result<Self, UnknownName> {
        let overlap = id.strip_prefix("overlap@").and_then(|k| k.parse().ok()).map(Self::Overlap);
        let found = [Self::MultiplyAdds, Self::RejectionGap].into_iter().find(|one| one.id() == id).or(overlap);
        found.ok_or_else(|| UnknownName::new("measurement", id, ["multiply-adds", "overlap@20", "rejection-gap"]))
    }
}

/// A curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    /// What each module of a cascade rejects, along what it was asked to.
    Rejection,
    /// Time of a list, along the number of items in a batch.
    ListTime,
    /// The same, a line each for modules, scoring and choosing.
    StageTime,
}

impl Curve {
    const ALL: [Self; 3] = [Self::Rejection, Self::ListTime, Self::StageTime];

    /// What records and claims call it.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Rejection => "rejection",
            Self::ListTime => "list-time",
            Self::StageTime => "stage-time",
        }
    }

    /// What people read.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Rejection => "Rejected, of all items",
            Self::ListTime => "A list by batches of items",
            Self::StageTime => "Stages of a list by batches of items",
        }
    }

    /// The curve of that id.
    pub(crate) fn of(id: &str) -> Result<Self, UnknownName> {
        let unknown = || UnknownName::new("figure", id, Self::ALL.map(Self::id));
        Self::ALL.into_iter().find(|one| one.id() == id).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_measurement_and_a_wrong_one_is_refused_with_the_nearest() {
        for one in [Measurement::MultiplyAdds, Measurement::Overlap(7), Measurement::RejectionGap] {
            assert_eq!(Measurement::of(&one.id()), Ok(one));
        }
        assert_eq!(Curve::ALL.map(|curve| Curve::of(curve.id())), Curve::ALL.map(Ok));
        let near = |error: UnknownName| error.near;
        assert_eq!(Measurement::of("rejection-gp").map_err(near), Err(Some("rejection-gap".into())));
        assert_eq!(Measurement::of("overlap@x").map_err(near), Err(Some("overlap@20".into())));
        assert_eq!(Curve::of("list-tim").map_err(near), Err(Some("list-time".into())));
    }

    #[test]
    fn the_overlap_says_with_whom() {
        assert_eq!(Measurement::Overlap(20).title(), "overlap@20 with the teacher");
    }
}
