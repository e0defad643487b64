//! Images of small binaries: the same bytes each time, complete, and with nothing in them that anybody could change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use chatcluster_testkit::deployment::Binaries;
use chatcluster_testkit::images::{self, Built, Options};
use serde_json::Value;
use tempfile::TempDir;

/// Programs of every Debian machine, under the names of ours.
const SMALL: [(&str, &str); 4] =
    [("core", "/usr/bin/true"), ("worker", "/usr/bin/false"), ("gateway", "/usr/bin/id"), ("operator", "/usr/bin/env")];

fn binaries() -> (TempDir, Binaries) {
    let folder = tempfile::tempdir().unwrap();
    for (service, program) in SMALL {
        fs::copy(program, folder.path().join(format!("chatcluster-{service}"))).unwrap();
    }
    let binaries = Binaries::in_folder(folder.path());
    (folder, binaries)
}

/// What is in an archive, by its path.
type Files = BTreeMap<String, Vec<u8>>;

fn unpack(tar: &[u8]) -> Files {
    let mut archive = tar::Archive::new(tar);
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    });
    files.collect()
}

fn json(files: &Files, path: &str) -> Value {
    serde_json::from_slice(&files[path]).unwrap()
}

fn blob(descriptor: &Value) -> String {
    blob_path(descriptor["digest"].as_str().unwrap())
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

struct Image {
    name: String,
    config: Value,
    /// Paths of the layers in the archive.
    layers: Vec<String>,
}

fn read(built: &Built) -> (Files, Vec<Image>) {
    let files = unpack(&fs::read(&built.archive).unwrap());
    let index = json(&files, "index.json");
    let images = index["manifests"].as_array().unwrap().iter().map(|entry| {
        let manifest = json(&files, &blob(entry));
        Image {
            name: entry["annotations"]["io.containerd.image.name"].as_str().unwrap().to_owned(),
            config: json(&files, &blob(&manifest["config"])),
            layers: manifest["layers"].as_array().unwrap().iter().map(blob).collect(),
        }
    });
    let images = images.collect();
    (files, images)
}

#[test]
fn two_builds_make_the_same_bytes() {
    let out = tempfile::tempdir().unwrap();
    let build = |name: &str, compress| {
        // copies of another minute, in another folder
        let (_folder, binaries) = binaries();
        let options = Options { compress, ..Options::local(binaries, "1.0", out.path().join(name)) };
        images::build(&options).unwrap()
    };
    for compress in [false, true] {
        let (one, two) = (build("one", compress), build("two", compress));
        assert_eq!(one.images, two.images);
        assert!(fs::read(one.archive).unwrap() == fs::read(two.archive).unwrap(), "the archives differ");
    }
}

#[test]
fn another_version_of_the_same_binaries_has_the_same_layers() {
    let out = tempfile::tempdir().unwrap();
    let (_folder, binaries) = binaries();
    let build = |tag: &str| images::build(&Options::local(binaries.clone(), tag, out.path())).unwrap();
    let (old, new) = (build("1.0"), build("1.1"));
    assert_ne!(old.archive, new.archive);
    for (old, new) in old.images.iter().zip(&new.images) {
        assert_ne!(old.digest, new.digest, "{}", old.reference);
    }
    let ((_, old), (_, new)) = (read(&old), read(&new));
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(old.layers, new.layers, "{}", old.name);
        assert_eq!(new.config["config"]["Labels"]["org.opencontainers.image.version"], "1.1");
    }
}

#[test]
fn every_blob_is_what_its_digest_says_and_everything_is_found_in_both_ways() {
    let out = tempfile::tempdir().unwrap();
    let (_folder, binaries) = binaries();
    let built = images::build(&Options::local(binaries, "1.0", out.path())).unwrap();
    let (files, images) = read(&built);
    for (path, content) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
        let hash = digest(&SHA256, content);
        let hex: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*path, format!("blobs/sha256/{}", hex.concat()));
    }
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let expected = SMALL.map(|(service, _)| format!("docker.io/local/chatcluster-{service}:1.0"));
    assert_eq!(names, expected);
    assert_eq!(json(&files, "oci-layout")["imageLayoutVersion"], "1.0.0");

    let for_docker = json(&files, "manifest.json");
    for (entry, image) in for_docker.as_array().unwrap().iter().zip(&images) {
        assert_eq!(entry["RepoTags"][0], image.name);
        assert_eq!(entry["Layers"], serde_json::json!(image.layers));
        assert_eq!(json(&files, entry["Config"].as_str().unwrap()), image.config);
        // uncompressed layers are their own diff ids
        let ids = image.config["rootfs"]["diff_ids"].as_array().unwrap();
        let ids: Vec<String> = ids.iter().map(|id| blob_path(id.as_str().unwrap())).collect();
        assert_eq!(ids, image.layers);
    }
    let shared: Vec<&str> = images.iter().map(|image| image.layers[0].as_str()).collect();
    assert!(shared.iter().all(|layer| *layer == shared[0]), "the libraries are in one layer: {shared:?}");
}

#[test]
fn the_user_is_nobody_and_owns_nothing() {
    let out = tempfile::tempdir().unwrap();
    let (_folder, binaries) = binaries();
    let built = images::build(&Options::local(binaries, "1.0", out.path())).unwrap();
    let (files, images) = read(&built);
    for image in images {
        assert_eq!(image.config["config"]["User"], "65532:65532");
        let binary = image.name.split(['/', ':']).nth(2).unwrap();
        assert_eq!(image.config["config"]["Entrypoint"], serde_json::json!([format!("/usr/bin/{binary}")]));
        for layer in &image.layers {
            let mut archive = tar::Archive::new(files[layer].as_slice());
            for entry in archive.entries().unwrap() {
                let entry = entry.unwrap();
                let (path, header) = (entry.path().unwrap().into_owned(), entry.header());
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{}", path.display());
                assert_eq!(header.mtime().unwrap(), 0, "{}", path.display());
                let is_link = header.entry_type().is_symlink();
                assert!(is_link || header.mode().unwrap() & 0o022 == 0, "{} can be written to", path.display());
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(!["sh", "bash", "dash", "busybox"].contains(&name.as_str()), "a shell: {}", path.display());
            }
        }
    }
}

/// What a node does with an image, besides isolating it.
#[test]
fn a_binary_runs_on_its_layers_alone() {
    let out = tempfile::tempdir().unwrap();
    let (_folder, binaries) = binaries();
    let built = images::build(&Options { compress: true, ..Options::local(binaries, "1.0", out.path()) }).unwrap();
    let (files, images) = read(&built);
    let gateway = images.iter().find(|image| image.name.contains("gateway")).unwrap();
    let root = tempfile::tempdir().unwrap();
    for layer in &gateway.layers {
        let tar = flate2::read::GzDecoder::new(files[layer].as_slice());
        tar::Archive::new(tar).unpack(root.path()).unwrap();
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--root"])
        .arg(root.path())
        .args(["/usr/bin/chatcluster-gateway", "--user", "--name"])
        .output()
        .unwrap();
    // it is `id`, and it found its name in the image's own /etc/passwd
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "root", "{error}");
    assert!(!root.path().join("bin/sh").exists());
    assert!(authorities(root.path()).len() > 50);
}

#[test]
fn folders_hold_the_same_files_as_the_layers() {
    let out = tempfile::tempdir().unwrap();
    let (_folder, binaries) = binaries();
    let built = images::build(&Options::local(binaries.clone(), "1.0", out.path())).unwrap();
    let (files, layers) = read(&built);
    images::unpacked(&binaries, &out.path().join("unpacked")).unwrap();
    for image in layers {
        let binary = image.name.split(['/', ':']).nth(2).unwrap();
        for (layer, folder) in image.layers.iter().zip(["base", binary]) {
            for (path, content) in unpack(&files[layer]).into_iter().filter(|(path, _)| !path.ends_with('/')) {
                let there = out.path().join("unpacked").join(folder).join(&path);
                let is_link = there.symlink_metadata().unwrap().is_symlink();
                assert!(is_link || fs::read(&there).unwrap() == content, "{}", there.display());
            }
        }
    }
}

/// The certificates that OpenSSL and rustls will find.
fn authorities(root: &Path) -> Vec<Vec<u8>> {
    let link: PathBuf = fs::read_link(root.join("usr/lib/ssl/cert.pem")).unwrap();
    let bundle = fs::read_to_string(root.join(link.strip_prefix("/").unwrap())).unwrap();
    let certificates = bundle.split("-----BEGIN CERTIFICATE-----").skip(1).map(|part| {
        let base64: String = part.split("-----END").next().unwrap().split_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
    });
    certificates.collect()
}

#[test]
fn a_binary_that_is_missing_is_named() {
    let (folder, binaries) = binaries();
    fs::remove_file(folder.path().join("chatcluster-worker")).unwrap();
    let error = images::build(&Options::local(binaries, "1.0", folder.path().join("out"))).unwrap_err();
    assert!(error.to_string().contains("chatcluster-worker"), "{error:#}");
}
