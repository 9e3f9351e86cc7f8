//! From a descriptor set to the bindings it declares: `google.api.http` options, read and checked.
//!
//! Must hold: every problem is found, each with the method it is of; a rule that comes out names fields that
//! exist and can hold what it puts there. Of two bindings that match the same requests the first counts.

use std::collections::HashSet;
use std::sync::Arc;

use portway_core::diagnostic::nearest;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ReflectMessage, ServiceDescriptor, Value,
};

use super::field::{self, Path};
use super::set::start;
use super::template::{Template, Variable};
use super::tree::{EVERY_METHOD, Tree};

mod any;

/// So many errors of a descriptor set are said, and so many warnings.
const PROBLEMS_MAX: usize = 100;
/// What is said of each, octets: it quotes the set.
const TEXT_BYTES_MAX: usize = 1000;
/// So many names are looked at for the one that was meant.
const KNOWN_MAX: usize = 1000;
/// Names that are compared are no longer, octets: comparing takes the product of both.
const NEAR_BYTES_MAX: usize = 100;

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// `package.Service.Method`
    pub name: Box<str>,
    /// `/package.Service/Method`
    pub path: Box<str>,
    /// What it takes.
    pub input: MessageDescriptor,
    /// What it gives.
    pub output: MessageDescriptor,
    /// It takes many.
    pub takes_stream: bool,
    /// It gives many.
    pub gives_stream: bool,
    /// Whether a reply can hold `google.protobuf.Any`, which nests without the decoder's limit.
    pub gives_any: bool,
}

/// Which part of the request message the body is.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyIs {
    /// None of it.
    Nothing,
    /// All that the path does not say.
    Message,
    /// One field.
    Field(FieldDescriptor),
}

/// One binding of a method.
#[derive(Debug)]
pub struct Rule {
    /// The method.
    pub method: Arc<Method>,
    /// Its template.
    pub template: Template,
    /// The fields of the template's variables, in the same order.
    pub variables: Vec<(Variable, Path)>,
    /// What the body is.
    pub body: BodyIs,
    /// The field that the reply's body is; `None` for the whole message.
    pub response_body: Option<FieldDescriptor>,
}

/// All bindings.
pub type Rules = Tree<Arc<Rule>>;

/// What is wrong with a descriptor set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place in the list of services that it is about.
    pub service: Option<usize>,
    /// Whether it can be lived with.
    pub is_warning: bool,
    /// What.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// What to take from a descriptor set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The services; none for all.
    pub services: Vec<String>,
    /// Whether `POST /package.Service/Method` is bound as well.
    pub unbound: bool,
}

/// Reads a descriptor set (a `google.protobuf.FileDescriptorSet`).
///
/// # Errors
/// Why it is none.
pub fn read(set: &[u8]) -> Result<DescriptorPool, Problem> {
    super::set::read(set).map_err(|error| Problem {
        service: None,
        is_warning: false,
        what: format!("is not a complete descriptor set: {error}"),
        hint: "make it with `protoc --include_imports --descriptor_set_out=FILE …`".to_owned(),
    })
}

/// The bindings of the services that are wanted.
pub fn compile(pool: &DescriptorPool, wanted: &Selection, problems: &mut Vec<Problem>) -> Rules {
    let mut compiling = Compiling {
        rules: Rules::default(),
        problems,
        service: None,
        count: 0,
        errors: 0,
        warnings: 0,
        hold_any: any::holders(pool),
    };
    let services: Vec<(Option<usize>, ServiceDescriptor)> = if wanted.services.is_empty() {
        pool.services().map(|service| (None, service)).collect()
    } else {
        let found = wanted.services.iter().enumerate();
        let found = found.filter_map(|(at, name)| {
            let service = pool.get_service_by_name(name);
            if service.is_none() {
                compiling.unknown_service(at, name, pool);
            }
            Some((Some(at), service?))
        });
        found.collect()
    };
    for (at, service) in services {
        compiling.service = at;
        let before = compiling.count;
        for method in service.methods() {
            if compiling.errors >= PROBLEMS_MAX {
                return compiling.rules;
            }
            compiling.method(pool, &method, wanted.unbound);
        }
        if compiling.count == before && at.is_some() {
            let what = format!(
                "no method of {} has a `google.api.http` option",
                service.full_name()
            );
            compiling.note(
                true,
                what,
                "add options to its methods, or set `unbound_methods: true`",
            );
        }
    }
    if compiling.count == 0 && compiling.problems.iter().all(|p| p.is_warning) {
        compiling.service = None;
        let hint = "add options to its methods, or set `unbound_methods: true`";
        let what = "binds no method: no `google.api.http` option is in it";
        compiling.note(false, what.to_owned(), hint);
    }
    compiling.rules
}

struct Compiling<'p> {
    rules: Rules,
    problems: &'p mut Vec<Problem>,
    service: Option<usize>,
    count: usize,
    errors: usize,
    warnings: usize,
    /// The messages that can hold `google.protobuf.Any`, by name.
    hold_any: HashSet<String>,
}

impl Compiling<'_> {
    /// Notes a problem, unless there are many of its kind: one error is as good as a thousand.
    fn note(&mut self, is_warning: bool, what: String, hint: &str) {
        let noted = if is_warning {
            &mut self.warnings
        } else {
            &mut self.errors
        };
        *noted += 1;
        if *noted <= PROBLEMS_MAX {
            self.problems.push(Problem {
                service: self.service,
                is_warning,
                what: start(&what, TEXT_BYTES_MAX).to_owned(),
                hint: start(hint, TEXT_BYTES_MAX).to_owned(),
            });
        }
    }

    fn unknown_service(&mut self, at: usize, name: &str, pool: &DescriptorPool) {
        self.service = Some(at);
        let hint = match pool.services().len() {
            0 => "there are no services in it".to_owned(),
            _ => hint(name, pool.services().map(|s| s.full_name().to_owned())),
        };
        self.note(
            false,
            format!("there is no service `{name}` in the descriptor set"),
            &hint,
        );
    }

    fn method(&mut self, pool: &DescriptorPool, descriptor: &MethodDescriptor, unbound: bool) {
        let service = descriptor.parent_service().full_name();
        let method = Arc::new(Method {
            name: descriptor.full_name().into(),
            path: format!("/{service}/{}", descriptor.name()).into(),
            input: descriptor.input(),
            output: descriptor.output(),
            takes_stream: descriptor.is_client_streaming(),
            gives_stream: descriptor.is_server_streaming(),
            gives_any: self.hold_any.contains(descriptor.output().full_name()),
        });
        if let Some(extension) = pool.get_extension_by_name("google.api.http") {
            let options = descriptor.options();
            let rule = options.get_extension(&extension);
            if options.has_extension(&extension)
                && let Value::Message(rule) = &*rule
            {
                self.rule(&method, rule, true);
            }
        }
        if unbound {
            let direct = Direct {
                kind: "POST".to_owned(),
                path: method.path.to_string(),
                body: "*".to_owned(),
                response_body: String::new(),
            };
            self.bind(&method, &direct);
        }
    }

    fn rule(&mut self, method: &Arc<Method>, rule: &DynamicMessage, outermost: bool) {
        match Direct::read(rule) {
            Some(direct) => self.bind(method, &direct),
            None => {
                let what = format!(
                    "`google.api.http` of {} names no method and path",
                    method.name
                );
                self.note(
                    false,
                    what,
                    "set one of get, put, post, delete, patch, custom",
                );
            }
        }
        let more = rule.get_field_by_name("additional_bindings");
        let more = more.as_deref().and_then(Value::as_list).unwrap_or_default();
        for rule in more.iter().filter_map(Value::as_message) {
            if outermost {
                self.rule(method, rule, false);
            } else {
                let what = format!(
                    "additional bindings of {} have bindings of their own",
                    method.name
                );
                self.note(false, what, "list all of them in the outermost rule");
                return;
            }
        }
    }

    fn bind(&mut self, method: &Arc<Method>, direct: &Direct) {
        self.count += 1;
        let shown = format!("`{} {}` of {}", direct.kind, direct.path, method.name);
        match checked(method, direct) {
            Ok(rule) => {
                let rule = Arc::new(rule);
                let template = rule.template.clone();
                if let Err(first) = self.rules.insert(&direct.kind, &template, rule) {
                    let (one, path) = (first.method.name.clone(), first.template.to_string());
                    let what = format!(
                        "{shown} is never used: `{} {path}` of {one} matches the same requests, and comes first",
                        direct.kind
                    );
                    self.note(
                        true,
                        what,
                        "change one of the two paths, or leave one service out",
                    );
                }
            }
            Err((what, hint)) => self.note(false, format!("{shown}: {what}"), &hint),
        }
    }
}

/// A rule as it is written.
struct Direct {
    kind: String,
    path: String,
    body: String,
    response_body: String,
}

impl Direct {
    fn read(rule: &DynamicMessage) -> Option<Direct> {
        let text = |message: &DynamicMessage, name: &str| {
            let value = message.get_field_by_name(name)?;
            value.as_str().map(str::to_owned)
        };
        let pattern = rule.descriptor().oneofs().find(|o| o.name() == "pattern")?;
        let set = pattern.fields().find(|field| rule.has_field(field))?;
        let (kind, path) = match set.name() {
            "custom" => {
                let custom = rule.get_field(&set);
                let custom = custom.as_message()?;
                (text(custom, "kind")?, text(custom, "path")?)
            }
            name => (name.to_ascii_uppercase(), text(rule, name)?),
        };
        Some(Direct {
            kind: if kind.is_empty() {
                EVERY_METHOD.to_owned()
            } else {
                kind
            },
            path,
            body: text(rule, "body").unwrap_or_default(),
            response_body: text(rule, "response_body").unwrap_or_default(),
        })
    }
}

/// The rule, or what is wrong with it and what to do.
fn checked(method: &Arc<Method>, direct: &Direct) -> Result<Rule, (String, String)> {
    let template = Template::parse(&direct.path).map_err(|wrong| {
        let hint = "a template is like /v1/shelves/{shelf}/books/{book=**}:verb";
        (format!("bad path template: {wrong}"), hint.to_owned())
    })?;
    let mut variables = Vec::new();
    for variable in &template.variables {
        let path = field::find(&method.input, variable.field.iter().map(|name| &**name))
            .and_then(|path| {
                let last = path.last().ok_or("no field")?;
                field::takes_text(last)?;
                if last.is_list() {
                    return Err(format!("`{}` is repeated", last.name()));
                }
                Ok(path)
            })
            .map_err(|why| {
                let name = variable.field.join(".");
                let hint = "name a single field of the request that is no message";
                (format!("the variable `{name}`: {why}"), hint.to_owned())
            })?;
        variables.push((variable.clone(), path));
    }
    let body = match direct.body.as_str() {
        "" => BodyIs::Nothing,
        "*" => BodyIs::Message,
        name => BodyIs::Field(own_field(&method.input, "body", name)?),
    };
    let response_body = match direct.response_body.as_str() {
        "" => None,
        name => Some(own_field(&method.output, "response_body", name)?),
    };
    Ok(Rule {
        method: Arc::clone(method),
        template,
        variables,
        body,
        response_body,
    })
}

fn own_field(
    message: &MessageDescriptor,
    key: &str,
    name: &str,
) -> Result<FieldDescriptor, (String, String)> {
    message.get_field_by_name(name).ok_or_else(|| {
        let hint = hint(name, message.fields().map(|f| f.name().to_owned()));
        let what = format!("`{key}: {name}`: {} has no such field", message.full_name());
        (what, hint)
    })
}

/// What a name could have been, of those there are.
fn hint(name: &str, known: impl Iterator<Item = String>) -> String {
    let known: Vec<String> = known.take(KNOWN_MAX).collect();
    let few = known.iter().map(String::as_str);
    let near = few.filter(|known| known.len() <= NEAR_BYTES_MAX);
    match Some(name).filter(|name| name.len() <= NEAR_BYTES_MAX) {
        Some(name) if let Some(near) = nearest(name, near) => format!("did you mean `{near}`?"),
        _ => format!("it has {}", known.join(", ")),
    }
}
