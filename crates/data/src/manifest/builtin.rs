//! The manifests of `datasets/`, compiled in so that a lone binary knows them.

/// Name and text of each, by name.
pub(super) const ALL: &[(&str, &str)] = &[
    ("amazon-beauty", include_str!("../../datasets/amazon-beauty.toml")),
    ("amazon-book", include_str!("../../datasets/amazon-book.toml")),
    ("amazon-grocery", include_str!("../../datasets/amazon-grocery.toml")),
    ("amazon-videogames", include_str!("../../datasets/amazon-videogames.toml")),
    ("citeulike-a", include_str!("../../datasets/citeulike-a.toml")),
    ("citeulike-de-rrd", include_str!("../../datasets/citeulike-de-rrd.toml")),
    ("citeulike-t", include_str!("../../datasets/citeulike-t.toml")),
    ("foursquare-7642", include_str!("../../datasets/foursquare-7642.toml")),
    ("foursquare-nyc", include_str!("../../datasets/foursquare-nyc.toml")),
    ("foursquare-tko", include_str!("../../datasets/foursquare-tko.toml")),
    ("gowalla", include_str!("../../datasets/gowalla.toml")),
    ("gowalla-time", include_str!("../../datasets/gowalla-time.toml")),
    ("mind-small", include_str!("../../datasets/mind-small.toml")),
    ("ml-100k", include_str!("../../datasets/ml-100k.toml")),
    ("ml-10m", include_str!("../../datasets/ml-10m.toml")),
    ("ml-10m-lightrec", include_str!("../../datasets/ml-10m-lightrec.toml")),
    ("ml-1m", include_str!("../../datasets/ml-1m.toml")),
    ("ml-20m", include_str!("../../datasets/ml-20m.toml")),
    ("ml-latest-small", include_str!("../../datasets/ml-latest-small.toml")),
    ("pinterest", include_str!("../../datasets/pinterest.toml")),
    ("taobao", include_str!("../../datasets/taobao.toml")),
    ("yelp-hin", include_str!("../../datasets/yelp-hin.toml")),
    ("yelp2018", include_str!("../../datasets/yelp2018.toml")),
];
