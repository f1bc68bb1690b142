//! File metadata as HPCC writes it, read and written again, and everything that is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::meta::{
    DEPTH_MAX, Element, FileMeta, MetaError, NumberKind, PARTS_MAX, PartMeta, XML_BYTES_MAX,
    XmlRule,
};
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::LogicalName;
use std::num::NonZeroU32;

/// Laid out the way HPCC's own writer does: attributes sorted, one blank a level, blanks at the
/// ends of a value as references, binary values on lines of their own.
const SAVED: &str = r#"<File directory="/var/lib/HPCCSystems/hpcc-data/thor/sales"
      group="mythor"
      modified="2026-03-04T05:06:07"
      numclusters="1"
      numparts="3"
      partmask="orders._$P$_of_$N$"
      trace="sales::orders">
 <Cluster mapFlags="0" name="mythor" redundancy="1" replicateOffset="1">
  <Group>10.0.0.[1-3]</Group>
 </Cluster>
 <Part fileCrc="-1092792577" modified="2026-03-04T05:06:07" node="10.0.0.1" num="1" recordCount="7" size="4611686018427387904"/>
 <Part compressedSize="11" fileCrc="-1" footerLength="9" headerLength="12" num="3" recordCount="-1" size="20" kind="topLevelKey"/>
 <Attr csvQuote="&quot;" csvSeparate="\," csvTerminate="\n,\r\n" description="a &lt; b&#10;second" flags="1" format="csv" kind="csv"
       lfnHash="-1234567" numDiskReads="3" owner="ann" size="4611686018427387930">
  <ECL>RECORD
  STRING id;
END;&#10;</ECL>
  <_rtlType xsi:type="SOAP-ENC:base64">
   AwAAAAgA
AQID/w==  </_rtlType>
  <Protect name="bob"><Owner/></Protect>
  <_remoteStoragePlane name="secret"/>
  <History>
   <Origin ip="10.0.0.9" operation="import"/><Protect name="bob">x</Protect>
  </History>
 </Attr>
</File>
"#;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn element(name: &str, attributes: &[(&str, &str)], text: &str) -> Element {
    let attributes = pairs(attributes);
    Element { name: name.into(), attributes, text: text.into(), children: Vec::new() }
}

fn one_part() -> FileMeta {
    FileMeta { parts: vec![PartMeta::default()], ..FileMeta::default() }
}

/// A file of one part with `inside` before the end tag of its root.
fn file(inside: &str) -> String {
    format!("<File numparts=\"1\">{inside}</File>")
}

fn refused(inside: &str) -> String {
    FileMeta::from_xml(&file(inside)).unwrap_err().to_string()
}

fn broken(xml: &str) -> (u64, XmlRule) {
    match FileMeta::from_xml(xml) {
        Err(MetaError::Malformed { offset, rule }) => (offset, rule),
        other => panic!("{xml} gives {other:?}"),
    }
}

#[test]
fn what_savexml_writes_is_read_in_full() {
    let meta = FileMeta::from_xml(SAVED).unwrap();

    assert_eq!(meta.name.as_deref(), Some("sales::orders"));
    assert_eq!(meta.directory.as_deref(), Some("/var/lib/HPCCSystems/hpcc-data/thor/sales"));
    assert_eq!(meta.partmask.as_deref(), Some("orders._$P$_of_$N$"));
    assert_eq!(meta.group.as_deref(), Some("mythor"));
    assert_eq!(meta.modified.as_deref(), Some("2026-03-04T05:06:07"));
    assert_eq!(meta.ecl.as_deref(), Some("RECORD\n  STRING id;\nEND;\n"));
    assert_eq!(meta.rtl_type(), Some("AwAAAAgA\nAQID/w=="));
    let cluster =
        [("mapFlags", "0"), ("name", "mythor"), ("redundancy", "1"), ("replicateOffset", "1")];
    let cluster = element("Cluster", &cluster, "");
    let group = element("Group", &[], "10.0.0.[1-3]");
    assert_eq!(meta.clusters, [Element { children: vec![group], ..cluster }]);
    assert_eq!(
        meta.attributes,
        pairs(&[
            ("csvQuote", "\""),
            ("csvSeparate", "\\,"),
            ("csvTerminate", "\\n,\\r\\n"),
            ("description", "a < b\nsecond"),
            ("flags", "1"),
            ("format", "csv"),
            ("kind", "csv"),
            ("lfnHash", "-1234567"),
            ("numDiskReads", "3"),
            ("owner", "ann"),
            ("size", "4611686018427387930"),
        ])
    );
}

#[test]
fn parts_are_read_by_number_and_a_missing_one_is_a_part_nothing_is_known_of() {
    let meta = FileMeta::from_xml(SAVED).unwrap();

    let first = PartMeta {
        length: Some(1 << 62),
        crc32: Some(0xBEDD_4EFF),
        records: Some(7),
        modified: Some("2026-03-04T05:06:07".into()),
        ..PartMeta::default()
    };
    let third = PartMeta {
        length: Some(20),
        compressed_size: Some(11),
        header_length: Some(12),
        footer_length: Some(9),
        others: pairs(&[("kind", "topLevelKey")]),
        ..PartMeta::default()
    };
    assert_eq!(meta.parts, [first, PartMeta::default(), third]);
}

#[test]
fn protection_and_the_storage_of_the_source_stay_behind_in_reading_and_writing() {
    let read = FileMeta::from_xml(SAVED).unwrap();
    let rtl = element("_rtlType", &[("xsi:type", "SOAP-ENC:base64")], "AwAAAAgA\nAQID/w==");
    let origin = element("Origin", &[("ip", "10.0.0.9"), ("operation", "import")], "");
    let history = Element { children: vec![origin], ..element("History", &[], "") };
    assert_eq!(read.details, [rtl, history]);

    let inner = element("_remoteStoragePlane", &[("name", "secret")], "");
    let outer = Element { children: vec![inner], ..element("History", &[], "") };
    let details = vec![element("Protect", &[("name", "bob")], ""), outer];
    let xml = FileMeta { details, ..one_part() }.to_xml().unwrap();
    assert!(xml.contains("<History/>"), "{xml}");
    assert!(!xml.contains("Protect") && !xml.contains("secret"), "{xml}");
}

#[test]
fn what_is_written_has_the_shape_that_wsdfu_add_takes() {
    let mut meta = FileMeta {
        name: Some("a::b".into()),
        directory: Some("/data/a".into()),
        partmask: Some("$L$._$P$_of_$N$".into()),
        modified: Some("2026-01-01T00:00:00".into()),
        ecl: Some("RECORD\n    STRING x;\r\nEND;\n ".into()),
        details: vec![element("_rtlType", &[("xsi:type", "SOAP-ENC:base64")], "AwA=\nBB==")],
        ..FileMeta::default()
    };
    meta.set_plane("data");
    meta.set_attribute("kind", "flat");
    meta.set_attribute("description", "<\"'&>\n\t");
    meta.set_attribute("kind", "csv");
    let length = |length| PartMeta { length: Some(length), ..PartMeta::default() };
    meta.parts = vec![
        PartMeta {
            crc32: Some(0x8000_0000),
            compressed_size: Some(3),
            records: Some(2),
            header_length: Some(0),
            footer_length: Some(4),
            modified: Some("m".into()),
            file_name: Some("n".into()),
            others: pairs(&[("kind", "k")]),
            ..length(10)
        },
        PartMeta { crc32: Some(u32::MAX), ..length(0) },
    ];

    let written = r#"<File trace="a::b" directory="/data/a" partmask="$L$._$P$_of_$N$" numparts="2" numclusters="1" group="data" modified="2026-01-01T00:00:00">
 <Cluster name="data"/>
 <Part num="1" size="10" compressedSize="3" fileCrc="-2147483648" recordCount="2" headerLength="0" footerLength="4" modified="m" name="n" kind="k"/>
 <Part num="2" size="0"/>
 <Attr kind="csv" description="&lt;&quot;&apos;&amp;&gt;&#10;&#9;">
  <ECL>RECORD
    STRING x;&#13;
END;&#10;&#32;</ECL>
  <_rtlType xsi:type="SOAP-ENC:base64">AwA=
BB==</_rtlType>
 </Attr>
</File>
"#;
    assert_eq!(meta.to_xml().unwrap(), written);
    assert_eq!(
        one_part().to_xml().unwrap(),
        "<File numparts=\"1\">\n <Part num=\"1\"/>\n <Attr/>\n</File>\n"
    );
}

#[test]
fn what_was_read_is_written_and_read_the_same() {
    let meta = FileMeta::from_xml(SAVED).unwrap();

    let xml = meta.to_xml().unwrap();

    assert_eq!(FileMeta::from_xml(&xml).unwrap(), meta);
}

#[test]
fn the_name_is_orig_name_then_trace_then_name() {
    let name = |attributes: &str, inside: &str| {
        let xml = format!("<File numparts='1'{attributes}>{inside}</File>");
        FileMeta::from_xml(&xml).unwrap().name
    };

    let original = "<OrigName>a::b</OrigName>";
    assert_eq!(name(" trace='t' name='n'", original).as_deref(), Some("a::b"));
    assert_eq!(name(" name='n' trace='t'", "").as_deref(), Some("t"));
    assert_eq!(name(" name='n'", "").as_deref(), Some("n"));
    assert_eq!(name("", ""), None);
}

#[test]
fn the_shape_of_older_versions_is_read_as_well() {
    let xml = r#"<File directory="c:\data" group="thor" name="zip" numparts="2" partmask="zip._$P$_of_$N$">
<Attr job="zip1" recordSize="5" replicated="1"/>
<OrigName>old::zip</OrigName>
<Part node="10.0.0.8" num="2" size="160"/>
<Part node="10.0.0.7" num="1" size="165"/>
</File>"#;

    let meta = FileMeta::from_xml(xml).unwrap();

    assert_eq!(meta.name.as_deref(), Some("old::zip"));
    assert_eq!(meta.attribute("recordSize"), Some("5"));
    let lengths = meta.parts.iter().map(|part| part.length).collect::<Vec<_>>();
    assert_eq!(lengths, [Some(165), Some(160)]);
}

#[test]
fn declaration_comments_cdata_and_elements_nobody_knows_do_no_harm() {
    let xml = "\u{feff}<?xml version=\"1.0\"?><!-- & < --><File numparts='1' more='x'><?pi?>\
               <SuperOwner name='s'><x>&amp;text</x></SuperOwner>\
               <Attr><ECL> a<![CDATA[ <&> ]]>&lt;<!-- c -->&#x41; </ECL></Attr></File> \n";

    let meta = FileMeta::from_xml(xml).unwrap();

    assert_eq!(meta, FileMeta { ecl: Some("a <&> <A".into()), ..one_part() });
}

#[test]
fn blanks_around_a_value_are_layout_unless_they_are_references() {
    let ecl = |text: &str| {
        FileMeta::from_xml(&file(&format!("<Attr><ECL>{text}</ECL></Attr>"))).unwrap().ecl
    };

    assert_eq!(ecl("\n  a  b \r\n").as_deref(), Some("a  b"));
    assert_eq!(ecl(" &#32;a&#10; ").as_deref(), Some(" a\n"));
    assert_eq!(ecl("  ").as_deref(), Some(""));
}

#[test]
fn format_and_part_paths_come_from_the_attributes() {
    let meta = FileMeta::from_xml(SAVED).unwrap();
    let name = LogicalName::parse("sales::orders").unwrap();
    let devices = NonZeroU32::new(3).unwrap();

    assert!(matches!(meta.format(), Ok(RecordFormat::Csv(_))));
    let paths = meta.part_paths(&name, devices).unwrap();
    assert_eq!((paths.lfn_hash, paths.directory_per_part), (4_293_732_729, true));
    // (4293732729 + 2) mod 3 is 2: the third device.
    assert_eq!(paths.path(&name, PartIndex(2)), ["d3", "sales", "3", "orders._3_of_3"]);

    let fresh = one_part().part_paths(&name, devices).unwrap();
    assert_eq!(fresh.lfn_hash, skyspray_dfu::naming::lfn_hash(&name));
    assert!(!fresh.directory_per_part);
    assert_eq!(FileMeta::default().part_paths(&name, devices), Err(MetaError::NoParts));
    let mut odd = one_part();
    odd.set_attribute("flags", "dirs");
    assert_eq!(
        odd.part_paths(&name, devices).unwrap_err().to_string(),
        "attribute flags is \"dirs\", expected a number from -2147483648 to 4294967295"
    );
}

#[test]
fn another_root_is_refused_by_name() {
    let superfile = FileMeta::from_xml("<SuperFile name='s' numsubfiles='0'/>").unwrap_err();
    let group = FileMeta::from_xml("<Group name=\"g\"></Group>").unwrap_err();

    assert_eq!(superfile, MetaError::SuperFile);
    assert_eq!(
        superfile.to_string(),
        "metadata describes a superfile, read each of its subfiles instead"
    );
    assert_eq!(group.to_string(), "root element is \"Group\", expected File");
}

#[test]
fn packed_parts_are_refused_by_name_and_place() {
    assert_eq!(
        refused("<Parts xsi:type=\"SOAP-ENC:base64\">AAAA</Parts>"),
        "element Parts at offset 19 holds the parts in packed binary form, expected an element \
         Part for each; export the file with WsDfu.Savexml"
    );
}

#[test]
fn numbers_that_do_not_parse_are_refused_with_attribute_value_and_offset() {
    for (attributes, text) in [
        (
            "size='1k'",
            "attribute size at offset 19 is \"1k\", expected a number from 0, or -1 for not known",
        ),
        (
            "size='+1'",
            "attribute size at offset 19 is \"+1\", expected a number from 0, or -1 for not known",
        ),
        (
            "recordCount='18446744073709551616'",
            "attribute recordCount at offset 19 is \"18446744073709551616\", expected a number from 0, or -1 for not known",
        ),
        (
            "fileCrc='4294967296'",
            "attribute fileCrc at offset 19 is \"4294967296\", expected a number from -2147483648 to 4294967295",
        ),
        (
            "fileCrc='-2147483649'",
            "attribute fileCrc at offset 19 is \"-2147483649\", expected a number from -2147483648 to 4294967295",
        ),
        (
            "fileCrc='-'",
            "attribute fileCrc at offset 19 is \"-\", expected a number from -2147483648 to 4294967295",
        ),
        (
            "headerLength='-1'",
            "attribute headerLength at offset 19 is \"-1\", expected a number from 0 to 4294967295",
        ),
        (
            "footerLength=''",
            "attribute footerLength at offset 19 is \"\", expected a number from 0 to 4294967295",
        ),
    ] {
        assert_eq!(refused(&format!("<Part num='1' {attributes}/>")), text);
    }
    assert_eq!(
        refused("<Part num='0'/>"),
        "attribute num at offset 19 is \"0\", expected a number from 1"
    );
    assert_eq!(
        refused("\n<Attr lfnHash='0x1'/>"),
        "attribute lfnHash at offset 20 is \"0x1\", expected a number from -2147483648 to 4294967295"
    );
    let mut written = one_part();
    written.set_attribute("recordCount", "many");
    assert_eq!(
        written.to_xml(),
        Err(MetaError::Value {
            attribute: "recordCount".into(),
            value: "many".into(),
            expected: NumberKind::Count
        })
    );
}

#[test]
fn parts_must_fit_the_number_of_parts() {
    let missing = FileMeta::from_xml("<File><Part num='1'/></File>").unwrap_err().to_string();
    assert_eq!(missing, "attribute numparts of element File at offset 0 is missing");
    assert_eq!(
        refused("<Part size='1'/>"),
        "attribute num of element Part at offset 19 is missing"
    );
    assert_eq!(
        refused("<Part num='2'/>"),
        "part 2 at offset 19 is outside the file's parts 1 to 1"
    );
    assert_eq!(refused("<Part num='1'/><Part num='1'/>"), "part 1 at offset 34 is there twice");
    assert_eq!(FileMeta::from_xml("<File numparts='0'/>"), Err(MetaError::NoParts));
    assert_eq!(FileMeta::default().to_xml(), Err(MetaError::NoParts));
}

#[test]
fn elements_of_which_there_is_one_are_not_there_twice() {
    assert_eq!(refused("<Attr/><Attr/>"), "element Attr at offset 26 is there twice");
    assert_eq!(refused("<Attr><ECL/><ECL/></Attr>"), "element ECL at offset 31 is there twice");
    assert_eq!(refused("<OrigName/><OrigName/>"), "element OrigName at offset 30 is there twice");
}

#[test]
fn text_that_is_not_well_formed_is_refused_with_rule_and_offset() {
    for (xml, offset, rule) in [
        ("", 0, XmlRule::OneRoot),
        ("text", 0, XmlRule::OneRoot),
        ("<File numparts='1'/>x", 20, XmlRule::OneRoot),
        ("<File numparts='1'/><File/>", 20, XmlRule::OneRoot),
        ("<File numparts='1'><Attr></File>", 25, XmlRule::ElementsClose),
        ("<File numparts='1'><Attr>", 25, XmlRule::ElementsClose),
        ("</File>", 0, XmlRule::ElementsClose),
        ("<File numparts='1'><Attr", 19, XmlRule::MarkupEnds),
        ("<File numparts='1'><!-- ", 19, XmlRule::MarkupEnds),
        ("<File numparts=1/>", 0, XmlRule::AttributeSyntax),
        ("<File numparts='1' numparts='2'/>", 0, XmlRule::AttributeOnce),
        ("<File numparts='1' 2='2'/>", 0, XmlRule::Name),
        ("<File numparts='1'><2/></File>", 19, XmlRule::Name),
        ("<File numparts='1'>text</File>", 19, XmlRule::NoText),
        ("<File numparts='1'><Attr><ECL>a<b/></ECL></Attr></File>", 31, XmlRule::NoElement),
        ("<File numparts='1'><Attr a='\u{1}'/></File>", 19, XmlRule::Character),
        ("<File numparts='1'><Attr><ECL>\u{8}</ECL></Attr></File>", 30, XmlRule::Character),
        ("<File numparts='1'><Attr><ECL>&#2;</ECL></Attr></File>", 30, XmlRule::Character),
        ("<File numparts='1'><Attr><ECL>&#xD800;</ECL></Attr></File>", 30, XmlRule::Reference),
    ] {
        assert_eq!(broken(xml), (offset, rule), "{xml}");
    }
    assert_eq!(
        refused("<Attr a='&nbsp;'/>"),
        "metadata at offset 19 is not well-formed: a reference is neither a number nor one of lt, \
         gt, amp, apos and quot"
    );
}

#[test]
fn nothing_is_expanded_but_predefined_entities_and_numbers() {
    let bomb = "<!DOCTYPE File [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><File numparts='1'/>";

    assert_eq!(broken(bomb), (0, XmlRule::NoDocumentType));
    assert_eq!(broken(&file("<Attr a='&b;'/>")), (19, XmlRule::Reference));
    assert_eq!(broken(&file("<Attr><ECL>&b;</ECL></Attr>")), (30, XmlRule::Reference));
}

#[test]
fn input_depth_parts_elements_and_attributes_have_limits() {
    let long = " ".repeat(XML_BYTES_MAX + 1);
    assert_eq!(FileMeta::from_xml(&long), Err(MetaError::TooLarge { bytes: XML_BYTES_MAX + 1 }));

    let nested =
        |levels: usize| file(&format!("{}{}", "<x>".repeat(levels), "</x>".repeat(levels)));
    assert_eq!(FileMeta::from_xml(&nested(DEPTH_MAX - 1)), Ok(one_part()));
    assert_eq!(
        FileMeta::from_xml(&nested(DEPTH_MAX)).unwrap_err().to_string(),
        "element \"x\" lies deeper than 64 levels"
    );

    let parts = |parts: u64| FileMeta::from_xml(&format!("<File numparts='{parts}'/>"));
    assert_eq!(parts(100_000).unwrap().parts.len(), 100_000);
    assert_eq!(parts(u64::from(PARTS_MAX) + 1), Err(MetaError::TooManyParts { parts: 100_001 }));
    assert_eq!(parts(u64::MAX), Err(MetaError::TooManyParts { parts: u64::MAX }));

    assert_eq!(FileMeta::from_xml(&file(&"<x/>".repeat(200_000))), Err(MetaError::TooManyElements));
    let attributes = (0..1025).map(|n| format!(" a{n}=''")).collect::<String>();
    assert_eq!(
        refused(&format!("<Attr{attributes}/>")),
        "element \"Attr\" has more than 1024 attributes"
    );
}

#[test]
fn metadata_that_could_not_be_read_back_is_not_written() {
    let with_attributes = |attributes: &[(&str, &str)]| {
        FileMeta { attributes: pairs(attributes), ..one_part() }.to_xml().unwrap_err().to_string()
    };
    let with_detail = |detail: Element| FileMeta { details: vec![detail], ..one_part() }.to_xml();

    assert_eq!(
        with_attributes(&[("owner", "a\u{0}")]),
        "value of \"owner\" has character U+0000, which XML cannot hold"
    );
    assert_eq!(with_attributes(&[("a", ""), ("a", "")]), "attribute \"a\" is there twice");
    assert_eq!(
        with_attributes(&[("a b", "")]),
        "\"a b\" cannot be the name of an element or attribute here"
    );
    let name = |name: &str| Err(MetaError::Name { name: name.into() });
    assert_eq!(with_detail(element("ECL", &[], "")), name("ECL"));
    assert_eq!(with_detail(element("", &[], "")), name(""));
    assert_eq!(
        FileMeta { clusters: vec![element("Part", &[], "")], ..one_part() }.to_xml(),
        name("Part")
    );
    for taken in ["num", "size", "node"] {
        let part = PartMeta { others: pairs(&[(taken, "1")]), ..PartMeta::default() };
        assert_eq!(FileMeta { parts: vec![part], ..one_part() }.to_xml(), name(taken));
    }
    assert_eq!(
        with_detail(element("x", &[], "\u{ffff}")),
        Err(MetaError::Character { name: "x".into(), code: 0xffff })
    );
}

#[test]
fn the_limits_of_reading_hold_for_writing() {
    let nested = |levels: usize| {
        let deeper = |inner, _| Element { children: vec![inner], ..element("x", &[], "") };
        let details = vec![(1..levels).fold(element("x", &[], ""), deeper)];
        FileMeta { details, ..one_part() }
    };
    let deepest = nested(DEPTH_MAX - 2);
    assert_eq!(FileMeta::from_xml(&deepest.to_xml().unwrap()), Ok(deepest));
    let deeper = nested(DEPTH_MAX - 1).to_xml();
    assert_eq!(deeper, Err(MetaError::TooDeep { element: "x".into() }));

    let parts = |parts: usize| FileMeta { parts: vec![PartMeta::default(); parts], ..one_part() };
    assert_eq!(parts(100_001).to_xml(), Err(MetaError::TooManyParts { parts: 100_001 }));
    let many = parts(100_000);
    assert_eq!(FileMeta::from_xml(&many.to_xml().unwrap()), Ok(many));
    let details = vec![element("x", &[], ""); 200_000];
    assert_eq!(FileMeta { details, ..one_part() }.to_xml(), Err(MetaError::TooManyElements));
    let attributes = (0..1025).map(|n| (format!("a{n}"), String::new())).collect();
    let element = "Attr".to_owned();
    assert_eq!(
        FileMeta { attributes, ..one_part() }.to_xml(),
        Err(MetaError::TooManyAttributes { element })
    );
    let ecl = Some("x".repeat(XML_BYTES_MAX));
    assert!(matches!(
        FileMeta { ecl, ..one_part() }.to_xml(),
        Err(MetaError::TooLarge { bytes }) if bytes > XML_BYTES_MAX
    ));
}
