//! One use of each candidate crate, the way the worker would use it: both directions, from bytes to bytes.

pub fn all(input: &[u8]) -> Option<Vec<u8>> {
    let mut output = input.to_vec();
    #[cfg(feature = "apache-avro")]
    output.extend(avro(input)?);
    #[cfg(feature = "fastlanes")]
    output.extend(lanes(input)?);
    #[cfg(feature = "fsst-rs")]
    output.extend(symbols(input)?);
    #[cfg(feature = "garde")]
    output.extend(validated(input)?);
    #[cfg(feature = "iceberg-rust-spec")]
    output.extend(iceberg(input)?);
    #[cfg(feature = "jiff")]
    output.extend(times(input)?);
    #[cfg(feature = "jiter")]
    output.extend(json_iterated(input)?);
    #[cfg(feature = "matchit")]
    output.extend(routed(input)?);
    #[cfg(feature = "parquet")]
    output.extend(parquet_file(input)?);
    #[cfg(feature = "pco")]
    output.extend(numbers_packed(input)?);
    #[cfg(feature = "roaring")]
    output.extend(bitmap(input)?);
    #[cfg(feature = "serde_json")]
    output.extend(json_value(input)?);
    #[cfg(feature = "signed_note")]
    output.extend(note(input)?);
    #[cfg(feature = "tlog_tiles")]
    output.extend(proofs(input)?);
    output.reverse();
    Some(output)
}

#[cfg(any(
    feature = "garde",
    feature = "jiff",
    feature = "matchit",
    feature = "apache-avro",
    feature = "iceberg-rust-spec",
    feature = "signed_note"
))]
fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

#[cfg(any(feature = "parquet", feature = "pco", feature = "fastlanes"))]
fn integers(input: &[u8]) -> Vec<i64> {
    input.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(i64::from_le_bytes)).collect()
}

#[cfg(feature = "apache-avro")]
fn avro(input: &[u8]) -> Option<Vec<u8>> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Row {
        path: String,
        rows: i64,
        bounds: Option<Vec<u8>>,
    }
    let (schema, path) = text(input)?.split_once('\n')?;
    let schema = apache_avro::Schema::parse_str(schema).ok()?;
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).ok()?;
    writer.append_ser(Row { path: path.to_owned(), rows: 1, bounds: None }).ok()?;
    let file = writer.into_inner().ok()?;
    let mut output = Vec::new();
    for value in apache_avro::Reader::new(file.as_slice()).ok()? {
        let row: Row = apache_avro::from_value(&value.ok()?).ok()?;
        output.extend(row.path.into_bytes());
        output.extend(row.rows.to_le_bytes());
        output.extend(row.bounds.unwrap_or_default());
    }
    output.extend(file);
    Some(output)
}

#[cfg(feature = "fastlanes")]
fn lanes(input: &[u8]) -> Option<Vec<u8>> {
    use fastlanes::BitPacking;
    let width = usize::from(*input.first()?) % 65;
    let mut plain: Vec<u64> = integers(input).into_iter().map(i64::cast_unsigned).collect();
    plain.resize(1024, 0);
    let mut packed = vec![0_u64; 16 * width];
    // Safety: 1,024 values, 16 words a bit of width.
    unsafe {
        u64::unchecked_pack(width, &plain, &mut packed);
        u64::unchecked_unpack(width, &packed, &mut plain);
    }
    Some(packed.iter().chain(&plain).flat_map(|word| word.to_le_bytes()).collect())
}

#[cfg(feature = "fsst-rs")]
fn symbols(input: &[u8]) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let compressor = fsst::Compressor::train(&lines);
    let mut output: Vec<u8> = compressor.compress_bulk(&lines).concat();
    output.extend(compressor.decompressor().decompress(input));
    Some(output)
}

#[cfg(feature = "garde")]
fn validated(input: &[u8]) -> Option<Vec<u8>> {
    use garde::Validate;
    #[derive(garde::Validate)]
    struct Inner {
        #[garde(range(min = 1, max = 65_536))]
        rows: usize,
        #[garde(length(min = 1, max = 128), ascii)]
        name: String,
    }
    #[derive(garde::Validate)]
    struct Outer {
        #[garde(dive)]
        inner: Vec<Inner>,
        #[garde(custom(|value: &usize, _| if *value % 2 == 0 { Ok(()) } else { Err(garde::Error::new("odd")) }))]
        even: usize,
    }
    let inner = text(input)?.lines().map(|line| Inner { rows: line.len(), name: line.to_owned() }).collect();
    let report = Outer { inner, even: input.len() }.validate().err()?;
    Some(report.iter().flat_map(|(path, error)| format!("{path}: {error}").into_bytes()).collect())
}

#[cfg(feature = "iceberg-rust-spec")]
fn iceberg(input: &[u8]) -> Option<Vec<u8>> {
    let table: iceberg_rust_spec::table_metadata::TableMetadata = serde_json::from_slice(input).ok()?;
    let schema = iceberg_rust_spec::manifest::ManifestEntry::schema(text(input)?, &table.format_version).ok()?;
    let mut output = serde_json::to_vec(&table).ok()?;
    output.extend(schema.canonical_form().into_bytes());
    Some(output)
}

#[cfg(feature = "jiff")]
fn times(input: &[u8]) -> Option<Vec<u8>> {
    let timestamp: jiff::Timestamp = text(input)?.parse().ok()?;
    let local = timestamp.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let later = local.checked_add(jiff::Span::new().months(i64::from(local.month()))).ok()?;
    Some(format!("{timestamp:.3} {} {}", later.date(), timestamp.as_millisecond()).into_bytes())
}

#[cfg(feature = "jiter")]
fn json_iterated(input: &[u8]) -> Option<Vec<u8>> {
    fn walk(jiter: &mut jiter::Jiter<'_>, peek: jiter::Peek, output: &mut Vec<u8>) -> Option<()> {
        match peek {
            jiter::Peek::Object => {
                let mut key = jiter.known_object().ok()?.map(str::to_owned);
                while let Some(name) = key {
                    output.extend(name.into_bytes());
                    let peek = jiter.peek().ok()?;
                    walk(jiter, peek, output)?;
                    key = jiter.next_key().ok()?.map(str::to_owned);
                }
            }
            jiter::Peek::Array => {
                let mut item = jiter.known_array().ok()?;
                while let Some(peek) = item {
                    walk(jiter, peek, output)?;
                    item = jiter.array_step().ok()?;
                }
            }
            jiter::Peek::String => output.extend(jiter.known_str().ok()?.bytes()),
            jiter::Peek::True | jiter::Peek::False => output.push(jiter.known_bool(peek).ok()?.into()),
            jiter::Peek::Null => jiter.known_null().ok()?,
            number => output.extend(jiter.known_number_bytes(number).ok()?),
        }
        Some(())
    }
    let mut jiter = jiter::Jiter::new(input);
    let mut output = Vec::new();
    let peek = jiter.peek().ok()?;
    walk(&mut jiter, peek, &mut output)?;
    jiter.finish().ok()?;
    Some(output)
}

#[cfg(feature = "matchit")]
fn routed(input: &[u8]) -> Option<Vec<u8>> {
    let (routes, path) = text(input)?.rsplit_once('\n')?;
    let mut router = matchit::Router::new();
    for (index, route) in routes.lines().enumerate() {
        router.insert(route, index).ok()?;
    }
    let found = router.at(path).ok()?;
    Some(found.params.iter().flat_map(|(name, value)| format!("{name}={value}{}", found.value).into_bytes()).collect())
}

#[cfg(feature = "parquet")]
fn parquet_file(input: &[u8]) -> Option<Vec<u8>> {
    use parquet::basic::{Compression, Repetition, Type as Physical};
    use parquet::column::reader::get_typed_column_reader;
    use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::schema::types::Type;
    use std::sync::Arc;

    fn write<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T]) -> Option<()> {
        let mut column = group.next_column().ok()??;
        let levels = vec![1; values.len()];
        column.typed::<T>().write_batch(values, Some(&levels), None).ok()?;
        column.close().ok()
    }
    fn read<T: DataType>(group: &dyn RowGroupReader, index: usize) -> Option<Vec<T::T>> {
        let mut values = Vec::new();
        let mut levels = Vec::new();
        get_typed_column_reader::<T>(group.get_column_reader(index).ok()?)
            .read_records(65_536, Some(&mut levels), None, &mut values)
            .ok()?;
        Some(values)
    }
    let field = |name: &str, physical| {
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL).build().map(Arc::new).ok()
    };
    let fields = vec![field("a", Physical::INT64)?, field("b", Physical::DOUBLE)?, field("c", Physical::BYTE_ARRAY)?];
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build().ok()?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).ok()?;
    let mut group = writer.next_row_group().ok()?;
    write::<Int64Type>(&mut group, &integers(input))?;
    write::<DoubleType>(
        &mut group,
        &integers(input).into_iter().map(|value| f64::from_bits(value.cast_unsigned())).collect::<Vec<_>>(),
    )?;
    write::<ByteArrayType>(
        &mut group,
        &input.chunks(8).map(|chunk| ByteArray::from(chunk.to_vec())).collect::<Vec<_>>(),
    )?;
    group.close().ok()?;
    let file = writer.into_inner().ok()?;

    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).ok()?;
    let group = reader.get_row_group(0).ok()?;
    let mut output = Vec::new();
    output.extend(read::<Int64Type>(group.as_ref(), 0)?.into_iter().flat_map(i64::to_le_bytes));
    output.extend(read::<DoubleType>(group.as_ref(), 1)?.into_iter().flat_map(f64::to_le_bytes));
    output.extend(read::<ByteArrayType>(group.as_ref(), 2)?.iter().flat_map(|value| value.data().to_vec()));
    Some(output)
}

#[cfg(feature = "pco")]
fn numbers_packed(input: &[u8]) -> Option<Vec<u8>> {
    use pco::standalone::{simple_compress, simple_decompress};
    let config = pco::ChunkConfig::default();
    let packed = simple_compress(&integers(input), &config).ok()?;
    let floats: Vec<f64> = simple_decompress::<i64>(&packed)
        .ok()?
        .into_iter()
        .map(|value| f64::from_bits(value.cast_unsigned()))
        .collect();
    let mut output = simple_compress(&floats, &config).ok()?;
    output.extend(simple_decompress::<f64>(&output).ok()?.into_iter().flat_map(f64::to_le_bytes));
    Some(output)
}

#[cfg(feature = "roaring")]
fn bitmap(input: &[u8]) -> Option<Vec<u8>> {
    let stored = roaring::RoaringBitmap::deserialize_from(input).ok()?;
    let more: roaring::RoaringBitmap = input.iter().map(|byte| u32::from(*byte) << 12).collect();
    let mut both = &(&stored | &more) - &(&stored & &more);
    both.optimize();
    let mut output = Vec::new();
    both.serialize_into(&mut output).ok()?;
    output.extend(both.iter().flat_map(u32::to_le_bytes));
    output.extend(both.rank(7).to_le_bytes());
    Some(output)
}

#[cfg(feature = "serde_json")]
fn json_value(input: &[u8]) -> Option<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_slice(input).ok()?;
    serde_json::to_vec(&value).ok()
}

#[cfg(feature = "signed_note")]
fn note(input: &[u8]) -> Option<Vec<u8>> {
    use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
    let mut parts = text(input)?.splitn(3, '\n');
    let verifier = StandardVerifier::new(parts.next()?).ok()?;
    let signer = StandardSigner::new(parts.next()?).ok()?;
    let mut note = Note::from_bytes(parts.next()?.as_bytes()).ok()?;
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).ok()?;
    note.add_sigs(&[&signer]).ok()?;
    let mut output = note.to_bytes();
    output.extend(verified.iter().flat_map(signed_note::Signature::to_bytes));
    Some(output)
}

#[cfg(feature = "tlog_tiles")]
fn proofs(input: &[u8]) -> Option<Vec<u8>> {
    use tlog_tiles::{
        Checkpoint, Error, Hash, HashReader, check_record, check_tree, prove_record, prove_tree, record_hash,
        stored_hashes, tree_hash,
    };
    struct Stored(Vec<Hash>);
    impl HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
            Ok(indexes.iter().filter_map(|index| self.0.get(usize::try_from(*index).ok()?).copied()).collect())
        }
    }
    let checkpoint = Checkpoint::from_bytes(input).ok()?;
    let mut stored = Stored(Vec::new());
    for (n, record) in (0_u64..).zip(input.chunks(32)) {
        let more = stored_hashes(n, record, &stored).ok()?;
        stored.0.extend(more);
    }
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let record = prove_record(size, 1, &stored).ok()?;
    check_record(&record, size, root, 1, record_hash(input)).ok()?;
    let tree = prove_tree(size, 2, &stored).ok()?;
    check_tree(&tree, size, root, 2, tree_hash(2, &stored).ok()?).ok()?;
    let mut output = checkpoint.to_bytes();
    output.extend(record.iter().chain(&tree).flat_map(|hash| hash.0));
    Some(output)
}
