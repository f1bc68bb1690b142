//! Random metadata survives XML, and random XML never panics.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use skyspray_dfu::meta::{Element, FileMeta, PartMeta};
use std::collections::BTreeMap;

proptest! {
    #[test]
    fn metadata_written_is_the_metadata_read(meta in meta()) {
        let xml = meta.to_xml().unwrap();

        prop_assert_eq!(FileMeta::from_xml(&xml).unwrap(), meta, "{}", xml);
    }

    #[test]
    fn layout_between_elements_changes_nothing(meta in meta()) {
        let xml = meta.to_xml().unwrap();
        // Values have no plain line ends at their edges, so every one beside a tag is layout.
        let spread = xml.replace(">\n", ">\r\n\t <!-- \n --> ").replace("/>", " />");

        prop_assert_eq!(FileMeta::from_xml(&spread).unwrap(), meta);
    }

    #[test]
    fn a_cut_document_is_an_error(meta in meta(), at in any::<prop::sample::Index>()) {
        let xml = meta.to_xml().unwrap();
        let body = xml.trim_end();
        let mut at = at.index(body.len());
        while !body.is_char_boundary(at) {
            at -= 1;
        }

        prop_assert!(FileMeta::from_xml(&body[..at]).is_err(), "{}", &body[..at]);
    }

    #[test]
    fn pieces_of_xml_in_any_order_never_panic(pieces in vec(prop::sample::select(PIECES), 0..40)) {
        let xml = format!("<File numparts='2'>{}", pieces.concat());
        let read = FileMeta::from_xml(&xml);
        if let Ok(meta) = read {
            prop_assert_eq!(FileMeta::from_xml(&meta.to_xml().unwrap()), Ok(meta));
        }
    }
}

const PIECES: &[&str] = &[
    "<Attr>",
    "</Attr>",
    "<Attr a='1' b=\"&lt;\">",
    "<Attr/>",
    "<ECL>",
    "</ECL>",
    "<ECL/>",
    "<x y=''>",
    "<x>",
    "</x>",
    "<x/>",
    "<Part num='1' size='-1'/>",
    "<Part num='2' name='&#10;'>",
    "</Part>",
    "<Cluster name='c'>",
    "</Cluster>",
    "</File>",
    "<!-- -->",
    "<![CDATA[ <a> ]]>",
    "<?p?>",
    " ",
    "\n",
    "text",
    "&amp;",
    "&#32;",
    "&#x0;",
    "&",
    "<",
    ">",
    "\"",
    "<Protect>",
    "</Protect>",
    "\u{e9}",
];

fn meta() -> impl Strategy<Value = FileMeta> {
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let detail = || element().prop_filter("ECL has a field", |detail| detail.name != "ECL");
    let cluster = element().prop_map(|cluster| Element { name: "Cluster".into(), ..cluster });
    let rest = (option::of(text()), option::of(text()), attributes());
    (texts, rest, vec(part(), 1..5), vec(cluster, 0..3), vec(detail(), 0..3)).prop_map(
        |(
            (name, directory, partmask, group),
            (modified, ecl, attributes),
            parts,
            clusters,
            details,
        )| {
            FileMeta {
                name,
                directory,
                partmask,
                group,
                modified,
                clusters,
                parts,
                attributes,
                ecl,
                details,
            }
        },
    )
}

fn part() -> impl Strategy<Value = PartMeta> {
    let numbers = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
    let small = (any::<Option<u32>>(), any::<Option<u32>>(), any::<Option<u32>>());
    let taken = ["num", "size", "modified", "name", "node"];
    let others = attributes().prop_map(move |mut others| {
        others.retain(|(name, _)| !taken.contains(&name.as_str()));
        others
    });
    (numbers, small, option::of(text()), option::of(text()), others).prop_map(
        |(
            (length, compressed_size, records),
            (crc, header_length, footer_length),
            modified,
            file_name,
            others,
        )| {
            // The one value HPCC keeps for "none".
            let crc32 = crc.filter(|&crc| crc != u32::MAX);
            PartMeta {
                length,
                compressed_size,
                crc32,
                records,
                header_length,
                footer_length,
                modified,
                file_name,
                others,
            }
        },
    )
}

fn element() -> impl Strategy<Value = Element> {
    let leaf = (name(), attributes(), text()).prop_map(|(name, attributes, text)| Element {
        name,
        attributes,
        text,
        children: Vec::new(),
    });
    leaf.prop_recursive(3, 8, 3, |inner| {
        (name(), attributes(), text(), vec(inner, 0..3)).prop_map(
            |(name, attributes, text, children)| Element { name, attributes, text, children },
        )
    })
}

/// Attributes with different names in any order.
fn attributes() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map(name(), text(), 0..4)
        .prop_map(|attributes: BTreeMap<_, _>| attributes.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_:][a-zA-Z0-9_.:-]{0,6}",
        "[\u{e0}-\u{f0}\u{4e00}-\u{4e10}][\u{e0}\u{b7}0-9]{0,2}"
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t\r\n]{0,3}",
        "[ \t\r\na<>&\"';\\]\u{e9}\u{1f600}\u{fffd}\u{e001}\u{a0}]{0,12}",
        "&(amp|#10|#x20|b);?",
    ]
}
