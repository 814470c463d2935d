//! Which problems have come and which have gone, between two looks. Pure.

use super::events::{Kind, gist};

/// The problems of the last look.
#[derive(Debug, Default)]
pub struct Problems {
    known: Vec<String>,
}

impl Problems {
    /// What there is to say of `now`, all that is wrong at the moment. Figures in a sentence may change: that is no news.
    pub fn look(&mut self, now: Vec<String>) -> Vec<(Kind, String)> {
        let is_in = |all: &[String], one: &str| all.iter().any(|other| gist(other).eq(gist(one)));
        let gone = self.known.iter().filter(|problem| !is_in(&now, problem));
        let come = now.iter().filter(|problem| !is_in(&self.known, problem));
        let gone = gone.map(|problem| (Kind::Solved, problem.clone()));
        let news = gone.chain(come.map(|problem| (Kind::Problem, problem.clone()))).collect();
        self.known = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_and_go_once() {
        let mut problems = Problems::default();
        let mut look = |now: &[&str]| {
            let now = now.iter().map(|problem| (*problem).to_owned()).collect();
            let news = problems.look(now);
            news.into_iter().map(|(kind, what)| format!("{kind:?} {what}")).collect::<Vec<_>>()
        };
        assert_eq!(look(&["No cable."]), ["Problem No cable."]);
        assert!(look(&["No cable."]).is_empty());
        assert_eq!(look(&["No cable.", "61.5 degrees."]), ["Problem 61.5 degrees."]);
        assert!(look(&["62 degrees.", "No cable."]).is_empty());
        let disk = |name: &str| format!("The disk {name} is about to fail.");
        let (one, two) = (disk("nvme0n1"), disk("nvme1n1"));
        assert_eq!(look(&[&one, "62 degrees.", "No cable."]), [format!("Problem {one}")]);
        assert_eq!(
            look(&[&two, "62 degrees.", "No cable."]),
            [format!("Solved {one}"), format!("Problem {two}")]
        );
        assert_eq!(look(&["62 degrees.", "No cable."]), [format!("Solved {two}")]);
        assert_eq!(look(&["No power."]), ["Solved 62 degrees.", "Solved No cable.", "Problem No power."]);
        assert_eq!(look(&[]), ["Solved No power."]);
    }
}
