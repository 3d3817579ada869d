//! Packed blocks that are damaged between two instances.

use thermocline::ports::native::{SplitMix64, World};
use thermocline::ports::{SqlParam, SqlStore as _, expect_blob, expect_integer};

/// A row of the table of blocks.
type Block = (i64, i64, Vec<u8>);

fn blocks(world: &World) -> Vec<Block> {
    let tables = world.sql.query("SELECT 1 FROM sqlite_master WHERE name = 'registry_blocks'", &[]).unwrap();
    if tables.is_empty() {
        return Vec::new();
    }
    let rows = world.sql.query("SELECT kind, number, data FROM registry_blocks", &[]).unwrap();
    let block = |row: Vec<_>| {
        let mut values = row.into_iter();
        let mut integer = || expect_integer(values.next().as_ref()).unwrap();
        let (kind, number) = (integer(), integer());
        (kind, number, expect_blob(values.next()).unwrap())
    };
    rows.into_iter().map(block).collect()
}

fn put(world: &World, (kind, number, data): &Block) {
    let statement = "UPDATE registry_blocks SET data = ? WHERE kind = ? AND number = ?";
    let params = [SqlParam::Blob(data), SqlParam::Integer(*kind), SqlParam::Integer(*number)];
    world.sql.query(statement, &params).unwrap();
}

/// Turns a bit of a block, cuts it or drops it. Whether there was one.
pub fn damage(world: &World, random: &mut SplitMix64) -> bool {
    let mut all = blocks(world);
    if all.is_empty() {
        return false;
    }
    let place = random.below(all.len());
    let block = &mut all[place];
    match random.below(3) {
        0 => {
            let bit = random.below(block.2.len() * 8);
            block.2[bit / 8] ^= 1 << (bit % 8);
            put(world, block);
        }
        1 => {
            block.2.truncate(random.below(block.2.len()));
            put(world, block);
        }
        _ => {
            let params = [SqlParam::Integer(block.0), SqlParam::Integer(block.1)];
            world.sql.query("DELETE FROM registry_blocks WHERE kind = ? AND number = ?", &params).unwrap();
        }
    }
    true
}
