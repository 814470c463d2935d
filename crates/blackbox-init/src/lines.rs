//! Cuts a stream of bytes into lines of bounded length.

/// One line, without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Whether the line was longer than allowed and its end is missing.
    pub cut: bool,
}

impl Line {
    /// The line as text; what is not UTF-8 or a control character is replaced.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut text = printable(text.trim_end());
        if self.cut {
            text.push('…');
        }
        text
    }
}

/// `text` with every control character replaced by a space, so that it can't move a terminal's cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Collects bytes until a line is whole. Holds at most `max` bytes.
#[derive(Debug)]
pub struct Lines {
    max: usize,
    partial: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// Lines of at most `max` bytes; of a longer one the first `max` are kept.
    pub fn new(max: usize) -> Self {
        Self { max, partial: Vec::new(), cut: false }
    }

    /// Takes bytes as they come and returns the lines that they complete.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.append(&bytes[..end]);
            lines.push(self.take());
            bytes = &bytes[end + 1..];
        }
        self.append(bytes);
        lines
    }

    /// What was written last and not ended with a newline.
    pub fn finish(&mut self) -> Option<Line> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = self.max - self.partial.len();
        self.cut |= bytes.len() > room;
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> Line {
        Line { bytes: std::mem::take(&mut self.partial), cut: std::mem::take(&mut self.cut) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&str], expected: &[&str]) {
        let mut lines = Lines::new(4);
        let mut texts: Vec<String> =
            chunks.iter().flat_map(|chunk| lines.push(chunk.as_bytes())).map(|line| line.text()).collect();
        texts.extend(lines.finish().map(|line| line.text()));
        assert_eq!(texts, expected, "{chunks:?}");
    }

    #[test]
    fn lines_are_whole_whatever_the_chunks() {
        check(&[], &[]);
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a", "b", "\n", "\n"], &["ab", ""]);
        check(&["a\r\n"], &["a"]);
        check(&["rest"], &["rest"]);
    }

    #[test]
    fn long_lines_are_cut_and_the_next_one_is_whole() {
        check(&["1234\n"], &["1234"]);
        check(&["12345\nx\n"], &["1234…", "x"]);
        check(&["123", "456", "789\nx\n"], &["1234…", "x"]);
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        check(&["\x1b[2\n"], &[" [2"]);
        let line = Line { bytes: b"\xff".to_vec(), cut: false };
        assert_eq!(line.text(), "\u{fffd}");
    }
}
