//! How a codec error finds out where it happened: each level adds its name on the way up, so that the good
//! case keeps no path at all.

/// A problem and the names from the inside out.
#[derive(Debug)]
pub(crate) struct Fault<P> {
    pub(crate) problem: P,
    pub(crate) offset: usize,
    names: Vec<String>,
}

impl<P> Fault<P> {
    pub(crate) fn new(problem: P, offset: usize) -> Box<Self> {
        Box::new(Fault { problem, offset, names: Vec::new() })
    }

    /// Adds a field's name.
    pub(crate) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.names.push(name.to_owned());
        self
    }

    /// Adds a position in a list; positions are not personal data, keys and elements are.
    pub(crate) fn at(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.names.push(format!("[{index}]"));
        self
    }

    /// The dotted path, with positions in brackets.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for name in self.names.iter().rev() {
            if !path.is_empty() && !name.starts_with('[') {
                path.push('.');
            }
            path.push_str(name);
        }
        path
    }
}
