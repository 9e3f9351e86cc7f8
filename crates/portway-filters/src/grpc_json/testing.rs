//! Descriptor sets for tests, compiled from text.

use std::path::Path;

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The imports that come with the crate.
pub const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/protos");

struct Text(&'static str);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "test.proto" {
            return File::from_source(name, self.0);
        }
        let path = Path::new(PROTOS).join(name);
        let text =
            std::fs::read_to_string(path).map_err(|_| protox::Error::file_not_found(name))?;
        File::from_source(name, &text)
    }
}

/// The descriptor set of a proto file, with its imports.
pub fn set_of(text: &'static str) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Text(text));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    let opened = compiler.open_file("test.proto");
    opened.unwrap_or_else(|error| panic!("{error:?}"));
    compiler.encode_file_descriptor_set()
}

/// The messages and services of a proto file.
pub fn pool_of(text: &'static str) -> DescriptorPool {
    DescriptorPool::decode(&*set_of(text)).expect("a whole set")
}
