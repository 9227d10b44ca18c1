//! One cell written as one Avro type.

use super::EncodeProblem;
use crate::cell::{Cell, Decimal};
use crate::decimal::{self, Misfit};
use crate::plan::Limits;
use crate::shape::{DecimalShape, EnumShape, RecordShape, Shape, UuidForm};
use crate::{uuid_text, varint};

pub(super) type Fault = Box<crate::fault::Fault<EncodeProblem>>;
type Written = Result<(), Fault>;

pub(super) fn fault(problem: EncodeProblem) -> Fault {
    crate::fault::Fault::new(problem, 0)
}

/// Longest time of day: PostgreSQL and MySQL allow 24:00:00.
const DAY_MICROS: i64 = crate::date::MICROS_PER_DAY;

/// The datum being written and what is left of its bound.
pub(super) struct Writer<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) limits: Limits,
    pub(super) list_cells: usize,
}

impl Writer<'_> {
    /// Writes a cell as a type.
    pub(super) fn value(&mut self, shape: &Shape, cell: &Cell<'_>) -> Written {
        match (shape, cell) {
            (Shape::Optional { null_first, inner }, cell) => {
                self.tag(!cell.is_null(), *null_first);
                if cell.is_null() { Ok(()) } else { self.value(inner, cell) }
            }
            (Shape::Null, Cell::Null) => Ok(()),
            (_, Cell::Null) => Err(fault(EncodeProblem::Null)),
            (Shape::Text, Cell::Str(text)) => {
                self.prefixed(text.as_bytes());
                Ok(())
            }
            (Shape::Long, Cell::I64(value)) => {
                varint::write(*value, self.out);
                Ok(())
            }
            (Shape::Int, Cell::I64(value)) => self.int(*value, "int"),
            (Shape::Date, Cell::Date(days)) => self.int(i64::from(*days), "date"),
            (Shape::Bool, Cell::Bool(value)) => {
                self.out.push(u8::from(*value));
                Ok(())
            }
            (Shape::Bytes, Cell::Bytes(bytes)) => {
                self.prefixed(bytes);
                Ok(())
            }
            (Shape::Fixed(size), Cell::Bytes(bytes)) => self.fixed(*size, bytes),
            (Shape::Enum(symbols), Cell::Str(symbol)) => self.symbol(symbols, symbol),
            (Shape::Decimal(shape), Cell::Decimal(value)) => self.decimal(shape, value),
            (Shape::Float | Shape::Double, Cell::F64(value)) => self.float(shape, *value),
            (Shape::Uuid(form), Cell::Uuid(uuid)) => {
                self.uuid(*form, uuid);
                Ok(())
            }
            (Shape::Uuid(form), Cell::Str(text)) => {
                let uuid = uuid_text::parse(text.as_bytes()).ok_or_else(|| fault(EncodeProblem::Uuid))?;
                self.uuid(*form, &uuid);
                Ok(())
            }
            (Shape::TimeMillis | Shape::TimeMicros, Cell::Time(micros)) => self.time(shape, *micros),
            (Shape::TimestampMicros { .. }, Cell::Timestamp(micros)) => {
                varint::write(*micros, self.out);
                Ok(())
            }
            (Shape::TimestampMillis { .. }, Cell::Timestamp(micros)) => {
                self.millis(*micros, "timestamp-millis")
            }
            (Shape::List(item), Cell::List(items)) => self.list(item, items),
            (Shape::Map(value), Cell::List(entries)) => self.map(value, entries),
            (Shape::Record(record), Cell::List(fields)) => self.record(record, fields),
            (shape, cell) => Err(fault(EncodeProblem::Kind { expected: shape.kind(), found: cell.kind() })),
        }
    }

    /// The branch of an optional value.
    #[inline]
    pub(super) fn tag(&mut self, present: bool, null_first: bool) {
        // Branch 1 in zigzag is 2.
        self.out.push(if present == null_first { 2 } else { 0 });
    }

    fn prefixed(&mut self, bytes: &[u8]) {
        varint::write(bytes.len() as i64, self.out);
        self.out.extend_from_slice(bytes);
    }

    fn int(&mut self, value: i64, kind: &'static str) -> Written {
        if i32::try_from(value).is_err() {
            return Err(fault(EncodeProblem::Range { kind }));
        }
        varint::write(value, self.out);
        Ok(())
    }

    fn millis(&mut self, micros: i64, kind: &'static str) -> Written {
        if micros % 1_000 != 0 {
            return Err(fault(EncodeProblem::Inexact { kind }));
        }
        varint::write(micros / 1_000, self.out);
        Ok(())
    }

    fn time(&mut self, shape: &Shape, micros: i64) -> Written {
        if !(0..=DAY_MICROS).contains(&micros) {
            return Err(fault(EncodeProblem::Range { kind: "time" }));
        }
        match shape {
            Shape::TimeMillis => self.millis(micros, "time-millis"),
            _ => {
                varint::write(micros, self.out);
                Ok(())
            }
        }
    }

    fn float(&mut self, shape: &Shape, value: f64) -> Written {
        if let Shape::Double = shape {
            self.out.extend_from_slice(&value.to_le_bytes());
            return Ok(());
        }
        let single = value as f32;
        if single.is_infinite() && value.is_finite() {
            return Err(fault(EncodeProblem::Range { kind: "float" }));
        }
        self.out.extend_from_slice(&single.to_le_bytes());
        Ok(())
    }

    fn fixed(&mut self, size: usize, bytes: &[u8]) -> Written {
        if bytes.len() != size {
            return Err(fault(EncodeProblem::Length { expected: size, found: bytes.len() }));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn symbol(&mut self, symbols: &EnumShape, symbol: &str) -> Written {
        let Some(index) = symbols.symbols.iter().position(|known| known == symbol) else {
            return Err(fault(EncodeProblem::Symbol));
        };
        varint::write(index as i64, self.out);
        Ok(())
    }

    fn uuid(&mut self, form: UuidForm, uuid: &[u8; 16]) {
        match form {
            UuidForm::Text => self.prefixed(&uuid_text::format(uuid)),
            UuidForm::Bytes => self.prefixed(uuid),
            UuidForm::Fixed => self.out.extend_from_slice(uuid),
        }
    }

    fn decimal(&mut self, shape: &DecimalShape, value: &Decimal<'_>) -> Written {
        let mut too_wide = false;
        let fitted = decimal::fit(value, shape.scale, shape.precision, |bytes| match shape.fixed {
            None => self.prefixed(bytes),
            Some(size) if bytes.len() > size => too_wide = true,
            Some(size) => {
                let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
                self.out.resize(self.out.len() + size - bytes.len(), fill);
                self.out.extend_from_slice(bytes);
            }
        });
        match fitted {
            Ok(()) if !too_wide => Ok(()),
            Ok(()) | Err(Misfit::Precision) => Err(fault(EncodeProblem::Precision)),
            Err(Misfit::Scale) => Err(fault(EncodeProblem::Inexact { kind: "decimal" })),
        }
    }

    fn charge(&mut self, cells: usize) -> Written {
        match self.list_cells.checked_sub(cells) {
            Some(left) => {
                self.list_cells = left;
                Ok(())
            }
            None => {
                let limit = self.limits.list_cells;
                Err(fault(EncodeProblem::TooLong { limit, unit: "list cells" }))
            }
        }
    }

    fn list(&mut self, item: &Shape, items: &[Cell<'_>]) -> Written {
        self.charge(items.len())?;
        if !items.is_empty() {
            varint::write(items.len() as i64, self.out);
            for (index, cell) in items.iter().enumerate() {
                self.value(item, cell).map_err(|fault| fault.at(index))?;
            }
        }
        self.out.push(0);
        Ok(())
    }

    fn map(&mut self, shape: &Shape, entries: &[Cell<'_>]) -> Written {
        self.charge(entries.len() * 3)?;
        if !entries.is_empty() {
            varint::write(entries.len() as i64, self.out);
            for (index, entry) in entries.iter().enumerate() {
                self.entry(shape, entry).map_err(|fault| fault.at(index))?;
            }
        }
        self.out.push(0);
        Ok(())
    }

    fn entry(&mut self, shape: &Shape, entry: &Cell<'_>) -> Written {
        match entry {
            Cell::List([key, value]) => {
                self.value(&Shape::Text, key)?;
                self.value(shape, value)
            }
            Cell::List(parts) => Err(fault(EncodeProblem::Length { expected: 2, found: parts.len() })),
            other => Err(fault(EncodeProblem::Kind { expected: "list", found: other.kind() })),
        }
    }

    fn record(&mut self, record: &RecordShape, cells: &[Cell<'_>]) -> Written {
        self.charge(cells.len())?;
        if cells.len() != record.fields.len() {
            let expected = record.fields.len();
            return Err(fault(EncodeProblem::Length { expected, found: cells.len() }));
        }
        for (field, cell) in record.fields.iter().zip(cells) {
            self.value(&field.shape, cell).map_err(|fault| fault.within(&field.name))?;
        }
        Ok(())
    }
}
