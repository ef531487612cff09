//! Kinds that learn what comes next and are served as factors: FM and YoutubeDNN.

use super::teachers::factors;
use crate::{Kind, Needs};

/// The latest of what users did, and the users whose rows are samples.
const NEEDS: Needs = Needs { teacher: None, text: false, times: true, categories: false, training_users: true };

pub(super) fn kinds() -> Vec<Kind> {
    let fm = factors("fm", "Rendle, Factorization Machines, ICDM 2010, as Feng et al., DeFoRec, SIGIR 2022, have it");
    let youtube_dnn = factors("youtube-dnn", "Covington et al., Deep Neural Networks for YouTube, RecSys 2016");
    let (fm, youtube_dnn) = (fm.needing(NEEDS), youtube_dnn.needing(NEEDS));
    #[cfg(feature = "graph")]
    let (fm, youtube_dnn) = {
        use super::learn::graphs;
        (
            fm.learning(graphs::fm_settings, graphs::towers),
            youtube_dnn.learning(graphs::youtube_dnn_settings, graphs::towers),
        )
    };
    vec![fm, youtube_dnn]
}
