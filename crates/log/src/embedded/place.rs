//! Where the file lies: SQLite's write-ahead log needs shared memory and locks that network file systems do not keep.

use std::path::{Path, PathBuf};

use crate::api::LogError;

/// File systems on which two machines may open the same file, or on which locks are not what they say.
const NETWORK: [&str; 20] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "gpfs",
    "ncpfs",
    "coda",
    "sshfs",
    "s3fs",
    "gcsfuse",
    "rclone",
    "davfs",
    "davfs2",
    "juicefs",
];

/// Refuses a folder on a network file system.
pub(super) fn refuse_network(path: &Path) -> Result<(), LogError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(folder) = folder.canonicalize() else { return Ok(()) };
    // Systems without /proc have no list of mounts to look at.
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return Ok(()) };
    match network_type(&mounts, &folder) {
        None => Ok(()),
        Some(kind) => Err(LogError::File {
            problem: format!("{} lies on a network file system ({kind})", path.display()),
            fix: "put the log on a local disk; several machines need the Kafka engine".into(),
        }),
    }
}

/// The type of the mount that `folder` lies on, when it is a network one.
fn network_type<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = unescape(point);
        let depth = point.components().count();
        // Of two mounts on one point the later one covers the earlier one.
        if folder.starts_with(&point) && best.is_none_or(|(known, _)| depth >= known) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind).filter(|kind| {
        let bare = kind.strip_prefix("fuse.").unwrap_or(kind);
        NETWORK.contains(&bare)
    })
}

/// The kernel writes blanks and backslashes of a mount point as octal.
fn unescape(text: &str) -> PathBuf {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv/share rw,relatime shared:5 - nfs4 server:/x rw
31 30 0:41 / /srv/share/local rw - ext4 /dev/vdb rw
32 22 0:42 / /mnt/my\\040share rw - fuse.sshfs host: rw
33 22 0:43 / /mnt/over rw - ext4 /dev/vdc rw
34 22 0:44 / /mnt/over rw - cifs //h/s rw";

    #[test]
    fn the_innermost_mount_decides() {
        let kind = |path: &str| network_type(MOUNTS, Path::new(path));
        assert_eq!(kind("/var/lib"), None);
        assert_eq!(kind("/srv/share/a"), Some("nfs4"));
        assert_eq!(kind("/srv/shared"), None);
        assert_eq!(kind("/srv/share/local/b"), None);
        assert_eq!(kind("/mnt/my share/a"), Some("fuse.sshfs"));
        assert_eq!(kind("/mnt/over"), Some("cifs"));
    }
}
