//! What people do with files, and what programs do: the kinds of stories.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use system_tests::api::SETTLE;
use system_tests::content::write_file;
use system_tests::ways::{self, OF_FILES, OF_FOLDERS, Way};

use super::story::{PATIENCE, Story};

/// A kind of story.
#[derive(Debug)]
pub struct Tale {
    pub title: &'static str,
    /// How often it is told, compared with others.
    pub weight: usize,
    /// How many copies it makes.
    pub copies: usize,
    pub tell: fn(&mut Story),
}

const fn tale(title: &'static str, weight: usize, copies: usize, tell: fn(&mut Story)) -> Tale {
    Tale { title, weight, copies, tell }
}

pub const TALES: [Tale; 24] = [
    tale("file", 30, 1, |story| drop(story.file_arrives(&OF_FILES))),
    tale("folder", 15, 1, |story| drop(story.folder_arrives())),
    tale("crowd", 1, 1, Story::crowd),
    tale("giant", 1, 1, Story::giant),
    tale("log", 5, 1, Story::log_grows),
    tale("open", 1, 1, Story::stays_open),
    tale("replaced", 3, 2, Story::replaced),
    tale("rewritten", 3, 2, |story| story.rewritten(true)),
    tale("cut", 3, 2, |story| story.rewritten(false)),
    tale("deleted", 3, 1, Story::deleted),
    tale("given up", 3, 1, Story::given_up),
    tale("deleted early", 3, 1, Story::deleted_before_it_settles),
    tale("deleted late", 1, 1, Story::deleted_while_hashed),
    tale("put back", 3, 2, Story::deleted_and_put_back),
    tale("moved", 2, 1, Story::moved_away_and_back),
    tale("renamed", 2, 1, Story::renamed),
    tale("renamed and changed", 2, 2, Story::renamed_and_changed),
    tale("file renamed", 2, 1, Story::file_in_it_renamed),
    tale("file removed", 2, 1, Story::file_in_it_removed),
    tale("file added", 2, 2, Story::file_added_to_it),
    tale("litter", 3, 1, Story::with_litter),
    tale("link", 2, 1, Story::with_link_inside),
    tale("way out", 2, 1, Story::with_link_that_leads_out),
    tale("empty", 2, 1, Story::empty),
];

impl Story {
    fn file_arrives(&mut self, ways: &[Way]) -> PathBuf {
        let (source, way) = (self.file_source(), self.chance.pick(ways));
        self.copy(&source, way);
        source
    }

    fn folder_arrives(&mut self) -> PathBuf {
        let (source, way) = (self.folder_source(), self.chance.pick(&OF_FOLDERS));
        self.copy(&source, way);
        source
    }

    fn arrives(&mut self) -> PathBuf {
        if self.chance.below(3) == 0 { self.folder_arrives() } else { self.file_arrives(&OF_FILES) }
    }

    /// Thousands of files at once, and as many events as the kernel keeps.
    fn crowd(&mut self) {
        let source = self.new_source(&self.name);
        for number in 0..6000 {
            let folder = ["", "a", "b/c"][number % 3];
            write_file(&mut self.chance, &source.join(folder).join(number.to_string()), number as u64 % 50);
        }
        self.copy(&source, ways::top_down);
    }

    fn giant(&mut self) {
        let (size, way) = ((10 << 20) + self.chance.below(60 << 20), self.chance.pick(&OF_FILES));
        let source = self.file_source_of(size);
        self.copy(&source, way);
    }

    fn log_grows(&mut self) {
        let source = self.file_source();
        let bytes = fs::read(&source).unwrap();
        let ends = Instant::now() + SETTLE + Duration::from_secs(3);
        let target = self.target();
        for part in bytes.chunks(bytes.len().div_ceil(6)) {
            let mut log = OpenOptions::new().create(true).append(true).open(&target).unwrap();
            log.write_all(part).unwrap();
            drop(log);
            self.stage.watcher.wait_for(&self.name, "settling", SETTLE / 2);
            let pause = Duration::from_millis(1500 + self.chance.below(2000));
            std::thread::sleep(pause.min(ends.saturating_duration_since(Instant::now())));
        }
        assert!(!self.stage.watcher.published().contains_key(&self.name), "{:?} still grew", self.name);
        self.now_is(Some(&source));
    }

    fn stays_open(&mut self) {
        let mut file = File::create(self.target()).unwrap();
        file.write_all(b"more is to come").unwrap();
        self.outcome.held.push(file);
        self.now_is(None);
        self.outcome.words.insert(self.name.clone(), "open");
    }

    fn replaced(&mut self) {
        self.file_arrives(&OF_FILES);
        self.seeding();
        self.file_arrives(&[ways::like_rsync]);
    }

    /// Written over in place, which must not be the archive's file.
    fn rewritten(&mut self, same_size: bool) {
        let source = self.file_arrives(&[ways::plainly, ways::with_gaps]);
        self.seeding();
        let size = source.metadata().unwrap().len();
        let other = self.file_source_of(if same_size { size } else { size / 2 + 1 });
        self.copy(&other, |_, source, target| {
            let bytes = fs::read(source).unwrap();
            let mut file = OpenOptions::new().write(true).open(target).unwrap();
            file.write_all(&bytes).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
        });
    }

    fn deleted(&mut self) {
        self.arrives();
        self.seeding();
        self.delete();
    }

    /// Deleted by the program that copies it, which writes on for a while.
    fn given_up(&mut self) {
        let source = self.file_source();
        let bytes = fs::read(source).unwrap();
        let mut file = File::create(self.target()).unwrap();
        file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        std::thread::sleep(Duration::from_millis(self.chance.below(3000)));
        self.delete();
        file.write_all(&bytes[bytes.len() / 2..]).unwrap();
    }

    fn deleted_before_it_settles(&mut self) {
        self.arrives();
        std::thread::sleep(Duration::from_millis(self.chance.below(8000)));
        self.delete();
    }

    fn deleted_while_hashed(&mut self) {
        let source = self.file_source_of(60 << 20);
        self.copy(&source, ways::plainly);
        self.stage.watcher.wait(&self.name, "hashed", PATIENCE, |item| {
            item.is_some_and(|item| item["state"] == "hashing" || item["state"] == "seeding")
        });
        self.delete();
    }

    fn deleted_and_put_back(&mut self) {
        let source = self.arrives();
        self.seeding();
        self.delete();
        self.gone();
        let way = if source.is_dir() { ways::top_down } else { ways::plainly };
        self.copy(&source, way);
    }

    fn moved_away_and_back(&mut self) {
        let source = self.arrives();
        self.seeding();
        let away = self.new_source("away");
        fs::rename(self.target(), &away).unwrap();
        self.now_is(None);
        self.gone();
        fs::rename(away, self.target()).unwrap();
        self.now_is(Some(&source));
    }

    fn renamed(&mut self) {
        let source = self.arrives();
        if self.chance.below(2) == 0 {
            self.seeding();
        }
        let name = format!("renamed {}", self.stage.sources.load(Ordering::Relaxed));
        let changed = self.changed_source(&source, &name);
        fs::rename(self.target(), self.stage.publish.join(&name)).unwrap();
        self.now_is(None);
        self.record(&name, Some(&changed));
    }

    /// What happens in it is noticed under its new name.
    fn renamed_and_changed(&mut self) {
        let source = self.folder_source();
        write_file(&mut self.chance, &source.join("deep/er/file"), 1000);
        self.copy(&source, ways::top_down);
        self.seeding();
        let old = self.target();
        self.now_is(None);
        self.name = format!("new name {}", self.stage.sources.load(Ordering::Relaxed));
        let moved = self.changed_source(&source, &self.name.clone());
        fs::rename(old, self.target()).unwrap();
        self.now_is(Some(&moved));
        self.seeding();
        let changed = self.changed_source(&moved, &self.name.clone());
        for folder in [&changed, &self.target()] {
            fs::write(folder.join("deep/er/file"), "other content").unwrap();
        }
        self.now_is(Some(&changed));
    }

    fn file_in_it_renamed(&mut self) {
        let source = self.folder_arrives();
        self.seeding();
        let changed = self.changed_source(&source, &self.name.clone());
        for folder in [&changed, &self.target()] {
            fs::rename(folder.join("last"), folder.join("new name")).unwrap();
        }
        self.now_is(Some(&changed));
    }

    fn file_in_it_removed(&mut self) {
        let source = self.folder_arrives();
        self.seeding();
        let changed = self.changed_source(&source, &self.name.clone());
        // Something is left in it, for it must not become empty.
        write_file(&mut self.chance, &changed.join("more"), 10);
        fs::remove_file(changed.join("last")).unwrap();
        let target = self.target();
        ways::like_rsync(&mut self.chance, &changed.join("more"), &target.join("more"));
        fs::remove_file(target.join("last")).unwrap();
        self.now_is(Some(&changed));
    }

    fn file_added_to_it(&mut self) {
        let source = self.folder_arrives();
        self.seeding();
        let changed = self.changed_source(&source, &self.name.clone());
        let size = 1 + self.chance.below(100_000);
        write_file(&mut self.chance, &changed.join("added"), size);
        let (way, target) = (self.chance.pick(&OF_FILES), self.target());
        way(&mut self.chance, &changed.join("added"), &target.join("added"));
        self.now_is(Some(&changed));
    }

    fn with_litter(&mut self) {
        let source = self.folder_arrives();
        let target = self.target();
        fs::create_dir(target.join(".git")).unwrap();
        for name in [".DS_Store", "~$x.doc", "Thumbs.DB", "desktop.ini", "film.PART", "x.tmp", ".git/index"] {
            fs::write(target.join(name), "litter").unwrap();
        }
        for name in [".hidden", "half.crdownload", "half.tmp", "~lock"] {
            fs::write(self.stage.publish.join(format!("{}{name}", &name[..1])), "litter").unwrap();
        }
        self.now_is(Some(&source));
    }

    /// The source has the linked file twice.
    fn with_link_inside(&mut self) {
        let source = self.folder_source();
        fs::copy(source.join("last"), source.join("twice")).unwrap();
        self.copy(&source, ways::top_down);
        let target = self.target();
        fs::remove_file(target.join("twice")).unwrap();
        symlink("last", target.join("twice")).unwrap();
        // To a folder in it: left out.
        symlink(".", target.join("round")).unwrap();
        self.now_is(Some(&source));
    }

    fn with_link_that_leads_out(&mut self) {
        let (source, target) = (self.folder_source(), self.target());
        fs::create_dir(&target).unwrap();
        symlink("/etc/hostname", target.join("way out")).unwrap();
        for entry in fs::read_dir(&source).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
        {
            ways::plainly(&mut self.chance, &entry.path(), &target.join(entry.file_name()));
        }
        self.now_is(None);
        self.outcome.words.insert(self.name.clone(), "way out");
    }

    fn empty(&mut self) {
        match self.chance.below(3) {
            0 => drop(File::create(self.target()).unwrap()),
            1 => fs::create_dir(self.target()).unwrap(),
            _ => {
                fs::create_dir(self.target()).unwrap();
                fs::write(self.target().join("x.part"), "litter").unwrap();
            }
        }
        self.now_is(None);
        self.outcome.words.insert(self.name.clone(), "empty");
    }
}
