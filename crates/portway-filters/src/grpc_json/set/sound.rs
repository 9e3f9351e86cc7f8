//! What a file of a descriptor set may hold, looked at before prost-reflect reads it.
//!
//! Must hold: what is let through is read without a panic, on a stack of any worker, in time and memory that are
//! bounded: prost-reflect decodes and encodes options while it builds its pool, resolves names by trying, and keeps
//! a whole name for everything that has one. `protoc` makes no set that is refused here.
//! Never: changes anything.

use std::collections::HashMap;

use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use crate::grpc_json::field::shortened;

/// What building the pool may cost, in octets kept or looked at: all of googleapis, some 30 MiB, takes a tenth.
const COST_MAX: usize = 512 << 20;
/// Of anything that has a name, besides the name.
const SYMBOL_COST: usize = 200;
/// Of a number that is looked for among reserved ranges: each that is found becomes an error that is kept.
const RANGE_COST: usize = 256;

/// The files of a set, one after the other.
pub struct Sound {
    cost: usize,
    /// Fields of the messages that prost-reflect writes options with and reads them as what prost knows: by name
    /// of the message, then by number.
    options: HashMap<&'static str, HashMap<i32, (Type, Label)>>,
    /// What any extension, or any default value, may have to be looked for in.
    ranges_max: usize,
    values_max: usize,
    extensions: usize,
    defaults: usize,
}

const OPTIONS: [&str; 9] = [
    "FileOptions",
    "MessageOptions",
    "FieldOptions",
    "OneofOptions",
    "EnumOptions",
    "EnumValueOptions",
    "ServiceOptions",
    "MethodOptions",
    "ExtensionRangeOptions",
];
/// Numbers below are those of Google's own options.
const EXTENSIONS_FROM: i32 = 1000;

type Checked = Result<(), String>;

impl Sound {
    /// No file yet.
    pub fn new() -> Sound {
        let pool = DescriptorPool::global();
        let known = |name: &&'static str| {
            let message = pool.get_message_by_name(&format!("google.protobuf.{name}"))?;
            let fields = message.descriptor_proto().field.iter();
            let fields = fields.map(|f| (f.number(), (f.r#type(), f.label())));
            Some((*name, fields.collect()))
        };
        Sound {
            cost: 0,
            options: OPTIONS.iter().filter_map(known).collect(),
            ranges_max: 0,
            values_max: 0,
            extensions: 0,
            defaults: 0,
        }
    }

    /// Looks at one more file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn file(&mut self, file: &FileDescriptorProto) -> Checked {
        let syntax = file.syntax();
        if !matches!(syntax, "" | "proto2" | "proto3") || file.syntax.as_deref() == Some("") {
            let (name, syntax) = (shortened(file.name()), shortened(syntax));
            return Err(format!(
                "{name} has the syntax `{syntax}`, which is not known"
            ));
        }
        let package = file.package();
        // Each part of it is a name by itself.
        self.add(package.len().saturating_mul(parts(package)))?;
        for message in &file.message_type {
            self.message(package, message)?;
        }
        for all in &file.enum_type {
            self.values(package, all)?;
        }
        for extension in &file.extension {
            self.extension(package, extension)?;
        }
        for service in &file.service {
            let scope = self.symbol(package, service.name())?;
            for method in &service.method {
                let scope = self.symbol(&scope, method.name())?;
                self.reference(&scope, method.input_type())?;
                self.reference(&scope, method.output_type())?;
            }
        }
        let ranges = self.extensions.saturating_mul(self.ranges_max);
        let values = self.defaults.saturating_mul(self.values_max);
        let looked = ranges.saturating_add(values).saturating_mul(SYMBOL_COST);
        match looked > COST_MAX {
            true => Err(too_much()),
            false => Ok(()),
        }
    }

    /// Calls itself for messages in messages, of which prost reads a hundred.
    fn message(&mut self, scope: &str, message: &DescriptorProto) -> Checked {
        let own = self.symbol(scope, message.name())?;
        let is_entry = message.options.as_ref().is_some_and(|o| o.map_entry());
        if is_entry && !is_entry_of_a_map(message) {
            return Err(format!("{} is no entry of a map", shortened(&own)));
        }
        if scope == "google.protobuf" {
            self.known_options(message)?;
        }
        let ranges = message.reserved_range.len() + message.extension_range.len();
        self.ranges_max = self.ranges_max.max(ranges);
        let looked = ranges.saturating_mul(message.field.len());
        self.add(looked.saturating_mul(RANGE_COST))?;
        for field in &message.field {
            self.field(&own, field)?;
        }
        for oneof in &message.oneof_decl {
            self.symbol(&own, oneof.name())?;
        }
        for extension in &message.extension {
            self.extension(&own, extension)?;
        }
        for all in &message.enum_type {
            self.values(&own, all)?;
        }
        let mut nested = message.nested_type.iter();
        nested.try_for_each(|message| self.message(&own, message))
    }

    fn field(&mut self, scope: &str, field: &FieldDescriptorProto) -> Checked {
        self.defaults += usize::from(field.default_value.is_some());
        let own = self.symbol(scope, field.name())?;
        self.reference(&own, field.type_name())
    }

    fn extension(&mut self, scope: &str, extension: &FieldDescriptorProto) -> Checked {
        self.extensions += 1;
        self.field(scope, extension)?;
        let extendee = extension.extendee();
        self.reference(scope, extendee)?;
        let last = extendee.rsplit('.').next().unwrap_or_default();
        if extension.number() < EXTENSIONS_FROM && self.options.contains_key(last) {
            let what = shortened(extension.name());
            return Err(format!("{what} takes the place of one of Google's options"));
        }
        Ok(())
    }

    fn values(&mut self, scope: &str, all: &EnumDescriptorProto) -> Checked {
        self.symbol(scope, all.name())?;
        let values = all.value.len();
        self.values_max = self.values_max.max(values);
        // They are put in their order one by one.
        self.add(values.saturating_mul(values) / 4)?;
        let looked = values.saturating_mul(all.reserved_range.len());
        self.add(looked.saturating_mul(RANGE_COST))?;
        for value in &all.value {
            self.symbol(scope, value.name())?;
        }
        Ok(())
    }

    /// Google's own options are written as the set says, and read as prost knows them: both must be the same.
    fn known_options(&self, message: &DescriptorProto) -> Checked {
        let Some(known) = self.options.get(message.name()) else {
            return Ok(());
        };
        let same = |field: &FieldDescriptorProto| {
            let known = known.get(&field.number());
            known.is_none_or(|known| *known == (field.r#type(), field.label()))
        };
        match message.field.iter().all(same) {
            true => Ok(()),
            false => Err(format!(
                "its google.protobuf.{} is not Google's",
                message.name()
            )),
        }
    }

    /// Counts a name, and gives it with what is around it.
    fn symbol(&mut self, scope: &str, name: &str) -> Result<String, String> {
        self.add(scope.len() + name.len() + SYMBOL_COST)?;
        Ok(match scope {
            "" => name.to_owned(),
            _ => format!("{scope}.{name}"),
        })
    }

    /// Counts a name that is looked for; if it is not a whole one, in everything around it.
    fn reference(&mut self, scope: &str, name: &str) -> Checked {
        match name {
            "" => Ok(()),
            _ if name.starts_with('.') => self.add(name.len()),
            _ => self.add((scope.len() + name.len()).saturating_mul(parts(scope) + 1)),
        }
    }

    fn add(&mut self, octets: usize) -> Checked {
        self.cost = self.cost.saturating_add(octets);
        match self.cost > COST_MAX {
            true => Err(too_much()),
            false => Ok(()),
        }
    }
}

pub fn too_much() -> String {
    "it says more than can be read: names too many or too long".to_owned()
}

fn parts(name: &str) -> usize {
    name.bytes().filter(|byte| *byte == b'.').count() + 1
}

/// Whether a message that says that it is a map's entry is one. A map in a map is read without any decoder's limit,
/// and an entry without key or value not at all.
fn is_entry_of_a_map(message: &DescriptorProto) -> bool {
    let single = |number| {
        let mut fields = message.field.iter().filter(|f| f.number() == number);
        fields.next().filter(|f| f.label() != Label::Repeated)
    };
    let is_key = |field: &FieldDescriptorProto| {
        field.type_name().is_empty()
            && !matches!(
                field.r#type(),
                Type::Float | Type::Double | Type::Bytes | Type::Enum | Type::Message | Type::Group
            )
    };
    single(1).is_some_and(is_key) && single(2).is_some()
}
