//! Debezium's geometries: a struct with the Well-Known Binary of a shape and the number of its
//! reference system, or with the coordinates of a point. Each database has a form of its own.
//!
//! Pure. Forms: MySQL's manual (Internal Geometry Storage Format), PostGIS's manual (EWKB).

use std::borrow::Cow;

use connector_api::{Schema, Value};

use crate::dialect::column_type::SpatialFormat;
use crate::dialect::logical_type::is_geometry;
use crate::dialect::writing::hex;
use crate::driver::SqlParam;

/// Flag of a shape's type in EWKB: the number of the reference system follows.
const HAS_SRID: u32 = 0x2000_0000;
/// Bytes before a shape's own: the byte order and the type.
const HEAD: usize = 5;
const NO_WKB: &str = "its geometry has no Well-Known Binary";

/// Positions of the fields of a geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GeometryFields {
    wkb: Option<usize>,
    srid: Option<usize>,
    point: Option<(usize, usize)>,
}

/// Returns the fields of a geometry; `None` if the schema is none.
pub(crate) fn fields(schema: &Schema) -> Option<GeometryFields> {
    if !is_geometry(schema) {
        return None;
    }
    Some(GeometryFields {
        wkb: schema.field_index("wkb"),
        srid: schema.field_index("srid"),
        point: schema.field_index("x").zip(schema.field_index("y")),
    })
}

impl GeometryFields {
    /// Returns the parameter for a column of that format.
    /// Errors: what the value lacks, without the value.
    pub(crate) fn param(
        self,
        value: &Value,
        format: SpatialFormat,
    ) -> Result<SqlParam<'static>, Cow<'static, str>> {
        let Value::Struct(members) = value else {
            return Err("its value is not a struct, although its schema says so".into());
        };
        let member = |at: usize| members.get(at).unwrap_or(&Value::Null);
        let srid = self.srid.and_then(|at| member(at).as_i64());
        let srid = srid
            .map(u32::try_from)
            .transpose()
            .map_err(|_| "its srid is not the number of a spatial reference system")?;
        let shape = match self.wkb.map(member) {
            Some(Value::Bytes(wkb)) => Some(Shape::read(wkb).ok_or(NO_WKB)?),
            _ => None,
        };
        let point = self
            .point
            .and_then(|(x, y)| Some((double(member(x))?, double(member(y))?)));
        let made = point.filter(|_| shape.is_none()).map(Shape::point);
        if format == SpatialFormat::Point {
            let (x, y) = point
                .or_else(|| shape?.coordinates())
                .ok_or("its geometry is not a point")?;
            return Ok(SqlParam::Text(format!("({x:?},{y:?})").into()));
        }
        let shape = match (&shape, &made) {
            (Some(shape), _) => *shape,
            (None, Some(made)) => Shape::read(made).ok_or(NO_WKB)?,
            (None, None) => return Err(NO_WKB.into()),
        };
        let srid = srid.or(shape.srid);
        match format {
            SpatialFormat::MySql if !shape.is_little => Err(
                "its Well-Known Binary has the highest byte first, which this database does not \
                 store"
                    .into(),
            ),
            SpatialFormat::MySql => Ok(SqlParam::Bytes(shape.of_mysql(srid).into())),
            SpatialFormat::PostGis | SpatialFormat::Point => {
                let bytes = shape.extended(srid);
                let mut text = String::with_capacity(bytes.len() * 2);
                hex(&bytes, &mut text);
                Ok(SqlParam::Text(text.into()))
            }
        }
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::F64(n) => Some(*n),
        Value::F32(n) => Some(f64::from(*n)),
        _ => None,
    }
}

/// The Well-Known Binary of a shape, taken apart as far as the forms differ.
#[derive(Clone, Copy)]
struct Shape<'a> {
    /// The lowest byte comes first.
    is_little: bool,
    /// Without the flag for the reference system.
    ty: u32,
    srid: Option<u32>,
    /// Everything behind the type and the number of the reference system.
    body: &'a [u8],
}

impl<'a> Shape<'a> {
    /// Reads WKB or EWKB; `None` if it is neither.
    fn read(wkb: &'a [u8]) -> Option<Self> {
        let (head, mut body) = wkb.split_at_checked(HEAD)?;
        let (&order, ty) = head.split_first()?;
        let is_little = match order {
            0 => false,
            1 => true,
            _ => return None,
        };
        let number = |bytes: &[u8]| -> Option<u32> {
            let bytes: [u8; 4] = bytes.try_into().ok()?;
            Some(if is_little {
                u32::from_le_bytes(bytes)
            } else {
                u32::from_be_bytes(bytes)
            })
        };
        let ty = number(ty)?;
        let mut srid = None;
        if ty & HAS_SRID != 0 {
            let (first, rest) = body.split_at_checked(4)?;
            (srid, body) = (Some(number(first)?), rest);
        }
        Some(Self {
            is_little,
            ty: ty & !HAS_SRID,
            srid,
            body,
        })
    }

    /// Returns the WKB of a point.
    fn point((x, y): (f64, f64)) -> Vec<u8> {
        let mut out = vec![1, 1, 0, 0, 0];
        out.extend(x.to_le_bytes());
        out.extend(y.to_le_bytes());
        out
    }

    /// Returns the coordinates of a point.
    fn coordinates(&self) -> Option<(f64, f64)> {
        let (x, y) = self.body.split_at_checked(8)?;
        let number = |bytes: &[u8]| -> Option<f64> {
            let bytes: [u8; 8] = bytes.try_into().ok()?;
            Some(if self.is_little {
                f64::from_le_bytes(bytes)
            } else {
                f64::from_be_bytes(bytes)
            })
        };
        (self.ty == 1).then(|| Some((number(x)?, number(y)?)))?
    }

    fn head(&self, ty: u32) -> Vec<u8> {
        let mut out = vec![u8::from(self.is_little)];
        out.extend(self.bytes(ty));
        out
    }

    fn bytes(&self, number: u32) -> [u8; 4] {
        if self.is_little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    }

    /// Returns MySQL's internal form: the number of the reference system, then the WKB.
    fn of_mysql(&self, srid: Option<u32>) -> Vec<u8> {
        let mut out = srid.unwrap_or(0).to_le_bytes().to_vec();
        out.extend(self.head(self.ty));
        out.extend(self.body);
        out
    }

    /// Returns the EWKB.
    fn extended(&self, srid: Option<u32>) -> Vec<u8> {
        let Some(srid) = srid else {
            return [&self.head(self.ty), self.body].concat();
        };
        let mut out = self.head(self.ty | HAS_SRID);
        out.extend(self.bytes(srid));
        out.extend(self.body);
        out
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Field, Schema, SchemaType, Value};

    use super::{GeometryFields, Shape, SpatialFormat, SqlParam, fields};

    fn geometry(names: &[&str]) -> GeometryFields {
        let field = |name: &&str| {
            let ty = match *name {
                "wkb" => SchemaType::Bytes,
                "srid" => SchemaType::Int32,
                _ => SchemaType::Float64,
            };
            Field::new(*name, Schema::of(ty).optional(true))
        };
        let schema = Schema::structure(
            Some("io.debezium.data.geometry.Geometry"),
            names.iter().map(field).collect(),
        );
        fields(&schema).unwrap()
    }

    fn value(members: Vec<Value>) -> Value {
        Value::Struct(members.into())
    }

    #[test]
    fn each_database_gets_its_own_form() {
        let of = geometry(&["wkb", "srid"]);
        let wkb = Shape::point((1.0, -2.5));
        let plain = value(vec![Value::Bytes(wkb.clone().into()), Value::I32(4326)]);
        let mut mysql = vec![0xe6, 0x10, 0, 0];
        mysql.extend(&wkb);
        let hex = "0101000020E6100000000000000000F03F00000000000004C0";
        // PostGIS's own form has the number inside
        let mut ewkb = vec![1, 1, 0, 0, 0x20, 0xe6, 0x10, 0, 0];
        ewkb.extend(&wkb[5..]);
        let extended = value(vec![Value::Bytes(ewkb.into()), Value::Null]);
        for value in [&plain, &extended] {
            assert_eq!(
                of.param(value, SpatialFormat::MySql),
                Ok(SqlParam::Bytes(mysql.clone().into()))
            );
            assert_eq!(
                of.param(value, SpatialFormat::PostGis),
                Ok(SqlParam::Text(hex.into()))
            );
            assert_eq!(
                of.param(value, SpatialFormat::Point),
                Ok(SqlParam::Text("(1.0,-2.5)".into()))
            );
        }
    }

    #[test]
    fn a_point_may_have_its_coordinates_only() {
        let of = geometry(&["x", "y", "wkb", "srid"]);
        let point = value(vec![
            Value::F64(1.0),
            Value::F64(2.0),
            Value::Null,
            Value::Null,
        ]);
        let mut mysql = vec![0; 4];
        mysql.extend(Shape::point((1.0, 2.0)));
        assert_eq!(
            of.param(&point, SpatialFormat::MySql),
            Ok(SqlParam::Bytes(mysql.into()))
        );
    }

    #[test]
    fn what_is_no_geometry_is_refused() {
        let of = geometry(&["wkb", "srid"]);
        for wkb in [&[][..], &[1, 1, 0], &[7; 21], &[1, 1, 0, 0, 0x20, 1]] {
            for format in [
                SpatialFormat::MySql,
                SpatialFormat::PostGis,
                SpatialFormat::Point,
            ] {
                let value = value(vec![Value::Bytes(wkb.into()), Value::I32(0)]);
                assert!(of.param(&value, format).is_err(), "{wkb:?}");
            }
        }
        let line = value(vec![
            Value::Bytes([1, 2, 0, 0, 0][..].into()),
            Value::I32(-1),
        ]);
        assert!(of.param(&line, SpatialFormat::MySql).is_err());
        let big = value(vec![Value::Bytes([0, 0, 0, 0, 1][..].into()), Value::Null]);
        assert!(of.param(&big, SpatialFormat::MySql).is_err());
    }
}
