// SPDX-License-Identifier: GPL-2.0

//! Compiles the C side from the kernel's source, which `KERNEL_SOURCE` names.
//!
//! The ring headers are copied, so that they find a small `grant_table.h` in place of the kernel's own. Of the C block
//! driver the passages that give a disk its name and minors are cut out as they stand; when one of their ends is not
//! found any more, the build fails.

use std::{
    env,
    fs,
    path::{
        Path,
        PathBuf, //
    },
    process::Command, //
};

/// Headers of `include/xen/interface/io` that are used as they are.
const HEADERS: [&str; 4] = ["ring.h", "blkif.h", "netif.h", "xenbus.h"];
/// Our C files.
const SOURCES: [&str; 5] = ["ring.c", "block.c", "net.c", "naming.c", "bus.c"];
/// Passages of the C block driver: name, first line and last line, as they begin after white space.
const PASSAGES: [(&str, &str, &str); 5] = [
    ("definitions", "#define PARTS_PER_DISK", "#define DEV_NAME"),
    ("encode_disk_name", "static char *encode_disk_name(", "}"),
    ("xen_translate_vdev", "static int xen_translate_vdev(", "}"),
    (
        "minors",
        "if ((info->vdevice>>EXT_SHIFT) > 1) {",
        "nr_minors = nr_parts;",
    ),
    (
        "name",
        "strcpy(gd->disk_name, DEV_NAME);",
        "\"%d\", minor & (nr_parts - 1));",
    ),
];

/// The lines from the first that begins with `first` to the next that begins with `last`.
fn passage(source: &str, first: &str, last: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().collect();
    let from = lines
        .iter()
        .position(|line| line.trim_start().starts_with(first))?;
    // A function ends with a brace in the first column.
    let ends = |line: &str| match last {
        "}" => line == "}",
        last => line.trim_start().starts_with(last),
    };
    let length = lines.get(from..)?.iter().position(|line| ends(line))?;
    Some(lines.get(from..=from + length)?.join("\n") + "\n")
}

/// Puts the headers and passages in a folder of their own.
fn prepare(kernel: &Path, include: &Path) {
    let interface = include.join("xen/interface");
    fs::create_dir_all(interface.join("io")).unwrap();
    for header in HEADERS {
        let from = kernel.join("include/xen/interface/io").join(header);
        fs::copy(&from, interface.join("io").join(header))
            .unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        println!("cargo::rerun-if-changed={}", from.display());
    }
    fs::copy("c/grant_table.h", interface.join("grant_table.h")).unwrap();

    let driver = kernel.join("drivers/block/xen-blkfront.c");
    println!("cargo::rerun-if-changed={}", driver.display());
    let source =
        fs::read_to_string(&driver).unwrap_or_else(|error| panic!("{}: {error}", driver.display()));
    for (name, first, last) in PASSAGES {
        let text = passage(&source, first, last)
            .unwrap_or_else(|| panic!("{}: no passage {name:?}", driver.display()));
        fs::write(include.join(format!("blkfront-{name}.h")), text).unwrap();
    }
}

/// Runs a tool; its messages go to cargo.
fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn main() {
    println!("cargo::rerun-if-env-changed=KERNEL_SOURCE");
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=build.rs");
    let kernel = PathBuf::from(
        env::var_os("KERNEL_SOURCE").expect("KERNEL_SOURCE is not set; use tests/host/run-cargo"),
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let include = out.join("include");
    prepare(&kernel, &include);

    let archive = out.join("libxenreference.a");
    let _ = fs::remove_file(&archive);
    let mut ar = Command::new("ar");
    ar.arg("crs").arg(&archive);
    for source in SOURCES {
        let object = out.join(source).with_extension("o");
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=gnu11", "-O1", "-fwrapv", "-fPIC", "-Wall", "-Werror"])
            .args(["-fno-strict-aliasing", "-c", "-I"])
            .arg(&include)
            .arg(Path::new("c").join(source))
            .arg("-o")
            .arg(&object);
        run(&mut gcc);
        ar.arg(object);
    }
    run(&mut ar);
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=xenreference");
}
