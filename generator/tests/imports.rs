//! Do imports run down? No two modules need each other, in however many steps; a folder and what is in it are one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// Each module by its path, `lint/promql/shape`, with its text as far as it is no test and no comment.
fn modules() -> io::Result<BTreeMap<String, String>> {
    fn walk(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let below = format!("{name}{stem}");
            if path.is_dir() {
                walk(&path, &format!("{below}/"), found)?;
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path)?;
                let text = text.split("#[cfg(test)]\nmod tests").next();
                let lines = text.unwrap_or_default().lines();
                let code: Vec<&str> = lines
                    .map(|line| line.split("//").next().unwrap_or_default())
                    .collect();
                let module = below.strip_suffix("/mod").unwrap_or(&below);
                found.insert(module.to_owned(), code.join("\n"));
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walk(&source, "", &mut found)?;
    Ok(found)
}

/// The paths of a tree of imports: of `a::{b, c::d}` they are `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let mut branches = vec![String::new()];
    let mut depth = 0;
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match branches.last_mut() {
            Some(branch) if character != ',' || depth > 0 => branch.push(character),
            Some(_) | None => branches.push(String::new()),
        }
    }
    let branches = branches.iter().map(|branch| branch.trim());
    branches
        .filter(|branch| !branch.is_empty())
        .flat_map(|branch| paths(&format!("{}{branch}", before.trim())))
        .collect()
}

/// Every path of the crate that a module names, in imports and on the way.
fn named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("use ") {
        let tree = text.get(at + 4..).and_then(|rest| rest.split(';').next());
        found.extend(tree.map(paths).unwrap_or_default());
    }
    for root in ["super::", "crate::"] {
        for (at, _) in text.match_indices(root) {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
            found.push(
                rest.get(..end.unwrap_or(rest.len()))
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    found
}

/// The modules that a module needs, without those that it is in and that are in it.
fn needs(module: &str, text: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let within = |one: &str, other: &str| one.starts_with(&format!("{other}/"));
    named(text)
        .iter()
        .filter_map(|path| {
            let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
            let mut base: Vec<&str> = Vec::new();
            match *parts.first()? {
                "crate" => {
                    parts.remove(0);
                }
                "super" => {
                    base = module.split('/').collect();
                    while parts.first() == Some(&"super") {
                        parts.remove(0);
                        base.pop();
                    }
                }
                _ => return None,
            }
            base.extend(parts);
            // The longest beginning that is a module; what follows is something in it.
            let lengths = (1..=base.len()).rev();
            let mut beginnings = lengths.filter_map(|length| Some(base.get(..length)?.join("/")));
            beginnings.find(|path| modules.contains_key(path))
        })
        .filter(|other| other != module && !within(other, module) && !within(module, other))
        .collect()
}

#[test]
fn no_two_modules_need_each_other() {
    let modules = modules().unwrap();
    let needed: BTreeMap<&str, BTreeSet<String>> = modules
        .iter()
        .map(|(module, text)| (module.as_str(), needs(module, text, &modules)))
        .collect();
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(module) = next.pop() {
            for other in needed.get(module.as_str()).into_iter().flatten() {
                if reached.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        reached
    };
    let circles: Vec<&str> = needed
        .keys()
        .copied()
        .filter(|module| reached(module).contains(*module))
        .collect();
    assert_eq!(circles, [""; 0], "these need each other");
    // That it sees anything at all.
    assert!(reached("plan").contains("query"));
    assert!(reached("lint/set").contains("lint/object"));
    assert!(reached("output/files").contains("output/helm"));
}

#[test]
fn a_tree_of_imports_is_its_paths() {
    assert_eq!(paths("super::a"), ["super::a"]);
    assert_eq!(
        paths("crate::{a, b::{self, c},\n d::e}"),
        ["crate::a", "crate::b::self", "crate::b::c", "crate::d::e"]
    );
    let text = "use super::a::{b, c};\nfn f() { crate::d::e(super::g::h) }\n";
    assert_eq!(
        named(text),
        [
            "super::a::b",
            "super::a::c",
            "super::a::",
            "super::g::h",
            "crate::d::e"
        ]
    );
}
