//! `/etc/sf/ims.conf`: `KEY=VALUE`, unquoted, `#` comments (docs/facts.md); on FMC and FTD.

/// The settings in use; everything else in the file is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImsConf {
    /// `APPLIANCE_UUID` as text; the caller checks that it is a UUID.
    pub appliance_uuid: Option<String>,
    /// `SWVERSION`, such as `7.4.2`.
    pub version: Option<String>,
    /// `SWBUILD`, the number of the build.
    pub build: Option<String>,
    /// `MODEL`, the name of the model.
    pub model: Option<String>,
}

impl ImsConf {
    /// Reads a whole file; lines that are not `KEY=VALUE` are ignored. The last of several lines
    /// with one key counts, as for the shell that reads the real file.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut conf = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            let field = match key.trim() {
                "APPLIANCE_UUID" => &mut conf.appliance_uuid,
                "SWVERSION" => &mut conf.version,
                "SWBUILD" => &mut conf.build,
                "MODEL" => &mut conf.model,
                _ => continue,
            };
            *field = (!value.is_empty()).then(|| value.to_owned());
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_and_passes_over_the_rest() {
        let conf =
            ImsConf::parse(b"# SWVERSION=1\nSWVERSION=7.4.2\r\nMODEL=\nX\nAPPLIANCE_UUID=u\xff\n");
        assert_eq!(conf.version.as_deref(), Some("7.4.2"));
        assert_eq!(conf.model, None);
        assert_eq!(conf.appliance_uuid.as_deref(), Some("u\u{fffd}"));
    }

    #[test]
    fn the_last_of_several_counts_and_quotes_do_not() {
        let conf =
            ImsConf::parse(b"SWBUILD=1\n SWBUILD = \"172\" \nMODEL=Firepower 1120\nmodel=x\n");
        assert_eq!(conf.build.as_deref(), Some("172"));
        assert_eq!(conf.model.as_deref(), Some("Firepower 1120"));
        assert_eq!((conf.version, conf.appliance_uuid), (None, None));
    }
}
